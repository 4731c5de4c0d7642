"""etcd as a systemd unit."""
