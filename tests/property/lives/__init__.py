"""Clusters with a past, in memory: thousands a minute. What raft did, what somebody did to the disks then, what a survey would
report of them, and whether what the verdict says of that is true.

The judge's rules are those of ``tests/damage/judge.py``; what the campaign there does with real etcds is only modelled here, so
a lie that is found here is looked at, not believed.
"""
