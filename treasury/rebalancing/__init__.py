"""How far we are from our bands, and the fewest transfers that mend it. Arithmetic first, writing last."""
