"""What is made once: environments, container images, the first champion, other models."""
