"""The sample shop: products, customers and purchases from one seed, and what the best possible ranking would score."""
