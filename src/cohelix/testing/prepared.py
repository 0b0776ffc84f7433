"""What the process that commands are forked from holds: every module that one of them would import.

It is imported in that process alone. None of these modules starts a thread of Python, which a fork would lose.
"""

import gc
import importlib

for _module in (
    "cohelix.cli.main",
    "cohelix.node.app",
    "cohelix.hub.app",
    "cohelix.bank.bank",
    "cohelix.bank.load",
    "cohelix.federation.worker",
    "cohelix.sdk.client",
):
    importlib.import_module(_module)

gc.collect()
gc.freeze()  # a collection in a fork would otherwise copy every page of them
