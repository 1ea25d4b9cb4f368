"""`python emulator.py PORT`: moto as a server, with the outputs of change sets."""

import sys

from moto.cloudformation.models import CloudFormationBackend
from moto.server import main

_execute = CloudFormationBackend.execute_change_set


def _execute_with_outputs(
    self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None
) -> None:
    _execute(self, change_set_name, stack_name)
    for change_set in self.change_sets.values():
        if change_set_name in {change_set.change_set_name, change_set.change_set_id}:
            stack = self.stacks[change_set.stack_id]
            stack.template_dict = change_set.template_dict
            stack.output_map = stack._create_output_map()  # noqa: SLF001 - see above


if __name__ == "__main__":
    CloudFormationBackend.execute_change_set = _execute_with_outputs  # type: ignore[method-assign] # see above
    main(["-p", sys.argv[1]])
