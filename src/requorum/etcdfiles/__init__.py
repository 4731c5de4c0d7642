"""etcd's files read offline, and written anew where a recovery needs it: bbolt, MVCC, WAL and .snap.

Nothing here takes a lock, follows a pointer it has not checked, or writes to a file that etcd owns. The package needs
only Python 3.8 and its standard library (``crc32c`` makes it faster), because it is also sent to hosts. It imports
nothing else of requorum and raises only :class:`~requorum.etcdfiles.faults.EtcdFileError`.
"""
