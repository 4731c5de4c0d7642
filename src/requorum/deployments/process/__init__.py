"""etcd as a plain process."""
