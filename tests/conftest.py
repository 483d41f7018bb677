"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair: no test asserts a time.
settings.register_profile("satchel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("satchel")
