"""The zoo: one short YAML file a network, in folders by paper. Installed as `resnet_dsl.specs`; found by name."""
