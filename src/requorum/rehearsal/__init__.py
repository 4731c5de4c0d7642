"""The disaster, rehearsed on this machine: real etcd processes, loaded, killed, wrecked, recovered, and audited.

It drives requorum as a child process with a plain inventory, as an operator would; nothing in requorum knows that it is
a rehearsal. The auditor and the writers import nothing of what they audit.
"""
