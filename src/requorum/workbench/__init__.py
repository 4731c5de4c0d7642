"""A throwaway etcd on a private copy, cut off from every other member: a source is replayed, opened and proven there."""
