"""The shipped studies, one YAML file each. Installed as `resnet_dsl.studies`; found by name."""
