"""requorum against real hosts: systemd, sshd, TLS, disks that were wrecked from outside."""
