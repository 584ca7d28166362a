"""Urban scenes made of noise, tones and transients: pure functions ``(rng, n) -> n samples`` of any level.

The numbers are everyday physics (a car passes at 8 to 16 m/s, a rail is 18 to 25 m long, a fan turns 20 to 40 times a
second) and spectra in decibels that fall with frequency as outdoor and indoor recordings do; none is fitted to data.
"""

from __future__ import annotations

import numpy as np

from datagen.core.units import SAMPLE_RATE
from datagen.noise._shaping import (
    FREQUENCIES,
    Points,
    Signal,
    bump,
    burst,
    convolved,
    db,
    drift,
    frame_count,
    frame_times,
    per_sample,
    phase,
    ping,
    place,
    room,
    sculpted,
    spectrum,
    tone,
    unit,
)

Rng = np.random.Generator
SPEED_OF_SOUND = 343.0

CITY: Points = ((20, -6), (50, 0), (120, -5), (400, -15), (1000, -20), (2500, -31), (5000, -43), (8000, -52))
"""A city's rumble from afar: about 1/f, steeper above 1 kHz."""
TYRES: Points = ((30, -10), (63, -4), (125, -8), (400, -6), (900, 0), (1500, -2), (3000, -11), (6000, -20), (8000, -26))
"""A car at 50 km/h from 7 m: engine below 100 Hz, tyres around 1 kHz."""
DIESEL: Points = ((25, -6), (50, 6), (100, 2), (250, -2), (800, -1), (2000, -7), (4000, -17), (8000, -30))
ROOM_AIR: Points = ((25, -6), (60, 0), (150, -4), (400, -12), (1000, -19), (3000, -32), (8000, -46))
"""The quiet of a building: ventilation heard through walls."""
DUCT: Points = ((25, -8), (60, 0), (150, -1), (400, -8), (1000, -15), (3000, -28), (8000, -42))
RAIL: Points = ((25, -8), (50, 0), (90, 1), (200, -4), (500, -9), (1000, -14), (2500, -25), (8000, -45))
"""Inside a metro car: structure-borne rumble, rolling noise, little treble."""


def _span(n: int) -> float:
    return n / SAMPLE_RATE


def _events(rng: Rng, n: int, per_second: float) -> np.ndarray:
    """Sample numbers of a Poisson process."""
    return rng.integers(0, n, rng.poisson(per_second * _span(n)))


def _pass_by(rng: Rng, n: int) -> tuple[Signal, Signal]:
    """One vehicle driving past: its noise as a power map, its engine as a signal."""
    heavy = rng.random() < 0.2
    t = frame_times(n) - np.float32(rng.uniform(-1.0, _span(n) + 1.0))
    speed = rng.uniform(8, 16) * (1 if rng.random() < 0.5 else -1)
    nearest = rng.uniform(4, 14)
    distance = np.sqrt(nearest**2 + (speed * t) ** 2)
    doppler = 1 - speed**2 * t / distance / SPEED_OF_SOUND
    loudness = db(rng.normal(4 if heavy else 0, 2.5)) * np.square(7 / distance)
    # The wave off the road interferes with the direct one: notches that sweep through the spectrum as the car passes.
    delay = 2 * rng.uniform(0.3, 0.6) * 1.5 / distance / SPEED_OF_SOUND
    comb = 1 + 0.55 * np.cos(2 * np.pi * FREQUENCIES * delay)
    treble_loss = np.exp(-0.23 * 0.07 * (distance - nearest) * FREQUENCIES / 1000)
    source = spectrum(DIESEL if heavy else TYRES)
    firing = rng.uniform(28, 45) if heavy else rng.uniform(55, 95)
    revs = firing * doppler * (1 + 0.004 * drift(rng, len(t), 1.0))
    harmonics = rng.uniform(0.4, 1, 14) / np.arange(1, 15) ** rng.uniform(0.7, 1.1)
    engine = tone(phase(per_sample(revs, n)), harmonics, rng) * per_sample(np.sqrt(loudness), n)
    return loudness * comb * treble_loss * source, engine * np.float32(0.14 if heavy else 0.07)


def traffic(rng: Rng, n: int) -> Signal:
    """A street: pass-bys with their sweeps over the rumble of a city."""
    frames = frame_count(n)
    power = spectrum(CITY) * db(rng.normal(-2, 2) + 1.5 * drift(rng, frames, 4.0))
    engines = np.zeros(n, np.float32)
    for _ in range(1 + min(5, rng.poisson(_span(n) / 5))):
        noise, engine = _pass_by(rng, n)
        power = power + noise
        engines += engine
    return sculpted(rng, n, power) + engines


def wind(rng: Rng, n: int) -> Signal:
    """Wind on a microphone: gusts raise both the level and the frequency up to which it roars; leaves follow."""
    frames = frame_count(n)
    gust = 3.0 * drift(rng, frames, 3.0) + 2.0 * drift(rng, frames, 0.8)
    flutter = gust + 1.8 * drift(rng, frames, 0.16)
    knee = rng.uniform(50, 110) * np.power(10, flutter / 28, dtype=np.float32)
    roar = db(1.1 * flutter) / (1 + (FREQUENCIES / knee) ** rng.uniform(2.6, 3.3))
    lag = np.concatenate([np.repeat(gust[:1], 6, 0), gust[:-6]])
    leaves: Points = ((300, -30), (1200, -8), (3000, 0), (6000, -3), (8000, -9))
    rustle = db(rng.uniform(-34, -27) + 1.4 * lag + 1.5 * drift(rng, frames, 0.1)) * spectrum(leaves)
    return sculpted(rng, n, roar + rustle + db(-20) * spectrum(CITY))


def ventilation(rng: Rng, n: int) -> Signal:
    """A machine room's air: mains hum, a fan's tones and the rush of a duct with its resonances."""
    frames = frame_count(n)
    air = spectrum(DUCT) * db(0.6 * drift(rng, frames, 2.0))
    for centre in rng.uniform([90, 250, 600, 1500], [200, 500, 1300, 3000]):
        air = air * (1 + rng.uniform(0.5, 3) * bump(centre, rng.uniform(0.08, 0.3)))
    mains = 50.0 if rng.random() < 0.5 else 60.0
    hum_levels = rng.uniform(0.3, 1, 20) / np.arange(1, 21) ** 1.1 * np.tile([0.35, 1.0], 10)
    hum = tone(phase(per_sample(mains * (1 + 0.0004 * drift(rng, frames, 3.0)), n)), hum_levels, rng)
    blades = rng.uniform(20, 40) * rng.integers(4, 8)
    wobble = 1 + 0.004 * drift(rng, frames, 0.7)
    fan = tone(phase(per_sample(blades * wobble, n)), rng.uniform(0.3, 1, 6) / np.arange(1, 7) ** 1.5, rng)
    fan = fan * per_sample(np.maximum(0.2, 1 + 0.25 * drift(rng, frames, 0.5)), n)
    return unit(sculpted(rng, n, air)) + unit(hum, rng.uniform(-10, -3)) + unit(fan, rng.uniform(-16, -8))


def rain(rng: Rng, n: int) -> Signal:
    """Rain on leaves, glass or tin: a broad hiss, thousands of small drops, and a few large ones from a gutter."""
    frames = frame_count(n)
    surface_hz, ring_seconds = [(3200.0, 0.005), (2000.0, 0.010), (950.0, 0.022)][rng.integers(3)]
    hiss: Points = ((40, -2), (150, -5), (500, -6), (1500, -3), (3500, 0), (6000, -4), (8000, -10))
    intensity = db(1.2 * drift(rng, frames, 3.0) + 0.7 * drift(rng, frames, 0.3))
    wash = unit(sculpted(rng, n, intensity * spectrum(hiss)))
    grains: list[tuple[Signal, Signal]] = []
    for pitch in rng.uniform(0.5, 2.0, 6):
        starts = _events(rng, n, rng.uniform(40, 220))
        train = np.bincount(starts, rng.lognormal(0, 0.6, len(starts)), n).astype(np.float32)
        kernel = ping(surface_hz * pitch, ring_seconds, 1600) + 0.5 * burst(rng, 1600, hiss, 0.004)
        grains.append((train, kernel))
    drops = convolved(n, *grains)
    for _ in range(rng.poisson(0.8 * _span(n))):
        hz = rng.uniform(500, 1900)
        bubble = ping(hz, 0.07, 2400) + 0.6 * ping(hz * rng.uniform(1.2, 1.5), 0.05, 2400)
        level = np.float32(rng.lognormal(0.4, 0.4))
        drops += place(n, bubble, rng.integers(0, n, 1), np.array([level], np.float32))
    return wash + unit(drops, rng.uniform(-9, -3))


def _clacks(rng: Rng, n: int, travelled: np.ndarray) -> Signal:
    """The two axles of each bogie crossing rail joints; ``travelled`` is the way in metres at every sample."""
    rail = rng.uniform(18, 25)
    crossings = [(offset, loud) for offset, loud in ((0.0, 1.0), (2.2, 0.9), (11.5, 0.4), (13.7, 0.35))]
    thud = ping(rng.uniform(70, 120), 0.16, 4800) + 0.5 * ping(rng.uniform(180, 320), 0.09, 4800)
    clang = 0.5 * ping(rng.uniform(700, 1300), 0.05, 4800) + 0.9 * burst(
        rng, 4800, ((100, -8), (600, 0), (2500, -4), (8000, -16)), 0.09
    )
    out = np.zeros(n, np.float32)
    first = rng.uniform(0, rail)
    for offset, loud in crossings:
        joints = np.arange(first - offset, travelled[-1], rail)
        starts = np.searchsorted(travelled, joints[joints > 0])
        levels = (loud * rng.lognormal(0, 0.15, len(starts))).astype(np.float32)
        out += place(n, thud + clang, starts, levels)
    return out


def metro(rng: Rng, n: int) -> Signal:
    """Inside a moving train: rumble that grows with the speed, motor whine, joints, now and then a squealing curve."""
    frames, t = frame_count(n), frame_times(n)
    trend = rng.uniform(-0.25, 0.25) * (t / _span(n) - 0.5) * 2
    speed = rng.uniform(11, 21) * (1 + trend + 0.015 * drift(rng, frames, 2.0))
    pace = speed / np.float32(15)
    rolling = spectrum(RAIL) * pace**3 * db(1.2 * drift(rng, frames, 0.6))
    corrugation = db(-8) * pace**3 * bump(speed / np.float32(rng.uniform(0.03, 0.06)), 0.22)
    air = db(-22) * spectrum(((50, -3), (300, 0), (1000, -4), (4000, -12), (8000, -22)))
    power = rolling + corrugation + air
    if rng.random() < 0.4:
        middle, length = rng.uniform(0, _span(n)), rng.uniform(0.5, 1.4)
        shape = np.exp(-(((t - middle) / length) ** 2)) * db(2.5 * drift(rng, frames, 0.12))
        squeal_hz = rng.uniform(1900, 3800) * (1 + 0.01 * drift(rng, frames, 0.4))
        power = power + db(rng.uniform(-14, -6)) * shape * bump(squeal_hz, 0.025)
    whine = tone(phase(per_sample(speed * np.float32(rng.uniform(28, 60)), n)), (1, 0.45, 0.1, 0.2, 0.05), rng)
    travelled = np.cumsum(per_sample(speed, n), dtype=np.float64) / SAMPLE_RATE
    clacks = _clacks(rng, n, travelled) * np.float32(rng.uniform(1.6, 2.6))
    return unit(sculpted(rng, n, power)) + unit(whine, rng.uniform(-26, -16)) + clacks


def _key(rng: Rng, deep: bool) -> Signal:
    """One key: the click going down, the knock of the bed, the softer click coming back up."""
    click: Points = ((300, -24), (1200, -8), (2800, 0), (5000, -3), (8000, -12))
    out = np.zeros(3200, np.float32)
    down = burst(rng, 800, click, rng.uniform(0.012, 0.03))
    knock = ping(rng.uniform(140, 260) if deep else rng.uniform(260, 520), 0.05, 1600, rng.random())
    out[:800] += down
    bed = int(rng.integers(60, 200))
    out[bed : bed + 1600] += np.float32(rng.uniform(0.5, 0.9) * (1.5 if deep else 1.0)) * knock
    up = int(rng.integers(1000, 2200))
    out[up : up + 800] += np.float32(rng.uniform(0.25, 0.5)) * burst(rng, 800, click, 0.018)
    return out


def _typing(rng: Rng, n: int) -> Signal:
    """A person typing: runs of strokes about 150 ms apart, then a pause for thought."""
    intervals = rng.lognormal(np.log(0.15), 0.4, int(_span(n) * 12))
    intervals = intervals + (rng.random(len(intervals)) < 0.07) * rng.uniform(0.5, 2.2, len(intervals))
    starts = (np.cumsum(intervals) * SAMPLE_RATE).astype(np.intp)
    keys = [_key(rng, deep=i == 0) for i in range(9)]
    chosen = rng.integers(0, len(keys), len(starts))
    out = np.zeros(n, np.float32)
    for i, key in enumerate(keys):
        mine = starts[chosen == i]
        out += place(n, key, mine[mine < n], rng.lognormal(0, 0.25, int((mine < n).sum())).astype(np.float32))
    return out


def keyboard(rng: Rng, n: int) -> Signal:
    """An office: one typist near, one far, a mouse, over computer fans and the air of the room."""
    frames = frame_count(n)
    fan_hz = rng.uniform(180, 420)
    air = spectrum(ROOM_AIR) + db(-10) * bump(fan_hz, 0.03) + db(-17) * bump(2 * fan_hz, 0.03)
    floor = unit(sculpted(rng, n, air * db(0.5 * drift(rng, frames, 2.0))))
    near = _typing(rng, n) * np.float32(rng.uniform(2.8, 4.0))
    far = _typing(rng, n) * np.float32(rng.uniform(0.4, 0.9))
    mouse_starts = _events(rng, n, 0.25)
    click = burst(rng, 480, ((500, -20), (2000, 0), (4000, -2), (8000, -14)), 0.012)
    both = np.concatenate([click, np.zeros(1100, np.float32), 0.7 * click])
    mouse = place(n, both, mouse_starts, rng.lognormal(0, 0.3, len(mouse_starts)).astype(np.float32))
    echoes = room(rng, rng.uniform(0.25, 0.5), direct=2.5)
    return floor + convolved(n, (near + far + mouse, echoes)) / 3


def clatter(rng: Rng, n: int) -> Signal:
    """What a café adds to its voices: cups and cutlery, an espresso machine's hiss, a refrigerator, the room."""
    frames, t = frame_count(n), frame_times(n)
    air = spectrum(ROOM_AIR) * db(0.6 * drift(rng, frames, 2.0))
    if rng.random() < 0.6:
        start, length = rng.uniform(-1, _span(n) - 1), rng.uniform(1.5, 5)
        steam: Points = ((200, -26), (800, -12), (2500, -2), (5000, 0), (8000, -6))
        gate = 0.25 * (1 + np.tanh((t - start) / 0.16)) * (1 - np.tanh((t - start - length) / 0.3))
        air = air + db(rng.uniform(-24, -16) + 1.5 * drift(rng, frames, 0.2)) * gate * spectrum(steam)
    floor = unit(sculpted(rng, n, air), -9)
    hits = np.zeros(n, np.float32)
    for _ in range(2 + rng.poisson(1.3 * _span(n))):
        base, length = rng.uniform(1300, 3400), rng.uniform(0.05, 0.35)
        partials = base * np.array([1, 1.51, 2.13, 2.76]) * rng.uniform(0.97, 1.03, 4)
        sound = sum(
            np.float32(rng.uniform(0.2, 1)) * ping(hz, length * rng.uniform(0.4, 1), 4800, rng.random())
            for hz in partials
            if hz < 7500
        )
        knocks = np.cumsum(rng.integers(400, 2600, rng.integers(1, 4))) + rng.integers(0, n)
        levels = rng.lognormal(0.3, 0.8) * rng.uniform(0.3, 1, len(knocks))
        hits += place(n, np.asarray(sound, np.float32), knocks, levels.astype(np.float32))
    return floor + hits
