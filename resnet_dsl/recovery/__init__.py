"""A state_dict's names and shapes to the spec of its network. No torch."""

from resnet_dsl.recovery.recover import Recovered, recover

__all__ = ["Recovered", "recover"]
