"""etcd's own programs: where they are, what each version can and cannot do, and how they are asked."""
