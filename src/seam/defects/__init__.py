"""What a result inherits from its base: adversarial weaknesses, backdoors, mistakes."""
