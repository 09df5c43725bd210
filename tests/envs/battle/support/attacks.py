"""One unit attacks another: what tests of weapons have in common."""

from envs.battle.fields import HEALTH, SHIELD, Order, X


def attack(battlefield, attacker, victim, *, distance):
    """One unit ordered to attack a passive one at `distance` cells from edge to edge."""
    field = battlefield([(attacker, 10, 10)], [(victim, 20, 10)])
    field.f[X, 1] = 10 + field.units.radius[0, 0] + field.units.radius[0, 1] + distance
    field.order(0, Order.ATTACK_UNIT, target=1)
    return field


def first_hit(field, victim=1):
    """What the first hit took from shield and health."""
    before = field.f[SHIELD, victim], field.f[HEALTH, victim]
    field.loops_until(lambda: field.life(victim) < sum(before), at_most=60)
    return before[0] - field.f[SHIELD, victim], before[1] - field.f[HEALTH, victim]
