"""etcd as a static pod."""
