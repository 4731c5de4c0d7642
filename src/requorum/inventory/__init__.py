"""Hosts and their roles, read from requorum's own small YAML file."""
