"""The federation's hub: members, questions to all of them, the Beacon network, and the portal."""

from cohelix.hub.settings import HubSettings, make_hub, read_settings

__all__ = ["HubSettings", "make_hub", "read_settings"]
