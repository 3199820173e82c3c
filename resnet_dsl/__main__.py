"""`python -m resnet_dsl` is `resnet-dsl`."""

import sys

from resnet_dsl.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
