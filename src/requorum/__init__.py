"""requorum brings a dead etcd cluster back, with nothing lost that its disks still hold."""

__version__ = "0.1.0"
