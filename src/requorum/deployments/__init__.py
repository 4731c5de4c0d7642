"""How etcd is deployed on a host: find it, fence it, start it. One module for each kind."""
