"""Register the bundles that come with the checkout: `python -m local.build.champion`, in the stack's environment."""

from strandline import settings
from strandline.models import registry

if __name__ == "__main__":
    print("\n".join(registry.install_bundles(settings.REPOSITORY / "models", "make up")))
