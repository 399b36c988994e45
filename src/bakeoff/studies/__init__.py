"""The studies that come with the package, as YAML files."""
