"""The whole story on real photographs: CIFAR-10, drops of it, broken files, frozen datasets."""
