"""The greatest counts and sizes that a declaration may hold: generous, and small enough that a plan of them can be made."""

from __future__ import annotations

RANKS = 2**21
"""Ranks of a plan, all instances together, and GPUs of a cluster: twice the largest plan that is measured (1,048,576)."""

NODES = 2**20
"""Nodes of a cluster; also what is counted in nodes, such as those on a leaf."""

DEVICES = 1024
"""GPUs, network cards or other devices of one node."""

LAYERS = 4096
"""Layers of a model; the deepest that was published has 1,000."""

EXPERTS = 2**16
"""Experts of a layer; Switch Transformer had 2,048."""

WIDTH = 2**22
"""Elements of a hidden state or a head, heads of a layer."""

VOCABULARY = 2**26
"""Words of a vocabulary."""

TOKENS = 2**30
"""Tokens of a sequence, and sequences of a batch."""

LENGTHS = 64
"""Sequence lengths that one plan is costed for."""

PARAMETERS = 1e18
"""Parameters of a model."""

INT32 = 2**31 - 1
"""What Kubernetes and Slurm keep counts and seconds in."""

WHOLE = 2**63 - 1
"""Whole numbers that no field bounds: what 64 bits hold."""

BYTES = 1e15
"""Bytes of one memory."""

RATE = 1e21
"""Bytes/s or FLOP/s of one device."""

SECONDS = 1e12
"""Seconds of anything, 30,000 years."""

ENTRIES = 4096
"""Entries of a list or mapping."""

DEPTH = 8
"""Lists and mappings within each other."""

CHARACTERS = 4096
"""Characters of a text: Linux's PATH_MAX."""

ARGUMENT = 131_071
"""Characters of an argument or a variable: Linux's MAX_ARG_STRLEN without the NUL."""

CONTENT = 2**26
"""Characters of a file that is part of a configuration: 1,048,576 hosts need 40 million."""
