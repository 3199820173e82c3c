"""From a recipe to a trained network: data, the loop, the run folder."""
