"""Mechanism: reversible masking and heads for any `nn.Module`. No loss, no epochs, no labels."""
