"""What is done on a host: programs, files, processes.

Everything that touches a host is a plain function of plain values, so that the same function can run in this process
for this machine, and be sent to another one.
"""
