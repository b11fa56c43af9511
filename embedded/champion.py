"""Register the bundles that come with the checkout: `python -m embedded.champion`, in the environment of the stack."""

from strandline import settings
from strandline.models import registry

if __name__ == "__main__":
    print("\n".join(registry.install_bundles(settings.REPOSITORY / "models", "make up")))
