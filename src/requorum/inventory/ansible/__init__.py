"""Ansible's inventories: with the operator's own Ansible, or without it."""
