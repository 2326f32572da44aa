"""The figures behind the built-in column: one place, each with its source.

``V1`` below is Billeh et al. 2020 (doi 10.1016/j.neuron.2020.01.040); ``biorealistic``
is AllenInstitute/biorealistic-v1-model (BSD 3-Clause, Copyright 2026 Allen Institute),
whose connection probabilities come from electron microscopy (its ``v1dd`` matrix) and
whose amplitudes come from the Allen synaptic physiology data set (Campagnola et al. 2022, doi
10.1126/science.abj5861).
"""

# ruff: noqa: E501 - tables keep one row a line

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "CLASSES",
    "COLUMN_NEURONS",
    "COLUMN_RADIUS_UM",
    "DEG_PER_UM",
    "LAYER_BOTTOM_UM",
    "LGN_CLASSES",
    "PSP_GROUPS",
    "PSP_MV",
    "P_MAX",
    "SIGMA_UM",
    "TAU_SYN_MS",
    "CellClass",
    "LgnClass",
    "LgnInput",
]


class LgnInput(NamedTuple):
    """What cells of one class take from the LGN.

    Each takes ``n_synapses`` on average. ``drive`` is the mean depolarisation that LGN
    cells at 6 Hz give, in units of V_th - E_L. ``tuned`` cells take ON and OFF cells
    from two elongated subfields side by side.
    """

    n_synapses: int
    drive: float
    tuned: bool


class CellClass(NamedTuple):
    """One cell class: GLIF3 parameters are medians of the public Allen models.

    ``n_cells`` is the number of such cells among the 46,090 of V1's core; ``k_per_ms``
    and ``asc_amp_pa`` are the after-spike currents' rates and amplitudes; ``background``
    is the mean depolarisation by the rest of the brain in units of V_th - E_L.
    """

    n_cells: int
    layer: str
    c_m_pf: float
    g_ns: float
    e_l_mv: float
    scale_mv: float
    t_ref_ms: float
    k_per_ms: tuple[float, float]
    asc_amp_pa: tuple[float, float]
    psp_group: str
    background: float
    lgn: LgnInput | None = None


# Counts: V1; its Htr3a cells below layer 1 are the Vip class here, and its 5,957 excitatory
# cells of layer 5 are divided 20:70:10 into ET, IT and NP.
# Parameters: Allen Cell Types Database, GLIF3 (Teeter et al. 2018, doi
# 10.1038/s41467-017-02717-4), medians by class; V_reset = E_L.
# LGN input: which classes take it, and that layer 4 takes most, as in V1; numbers of
# synapses and drives are this column's own, set with the background (see
# `v1sim.sources.column`) so that rates and orientation tuning are near those of V1.
CLASSES = {
    "i1Htr3a": CellClass(586, "1", 39.8, 4.58, -69.1, 25.3, 3.50, (0.003, 0.1), (-5.9, -117.3), "Vip", 0.87, LgnInput(10, 0.10, False)),
    "e23": CellClass(11456, "23", 91.1, 5.75, -75.1, 27.5, 3.80, (0.003, 0.1), (-20.5, -198.7), "e23", 0.31, LgnInput(32, 0.45, True)),
    "i23Pvalb": CellClass(640, "23", 70.4, 9.38, -76.1, 26.7, 1.38, (0.003, 0.2), (-2.7, -44.9), "Pvalb", 0.85, LgnInput(30, 0.15, False)),
    "i23Sst": CellClass(464, "23", 81.8, 5.17, -65.6, 29.8, 2.50, (0.1, 0.3), (-190.5, 535.1), "Sst", 1.01),
    "i23Vip": CellClass(546, "23", 54.3, 3.13, -71.4, 28.6, 3.73, (0.003, 0.1), (-4.9, -35.4), "Vip", 1.08),
    "e4": CellClass(9276, "4", 92.6, 6.26, -77.6, 31.1, 3.80, (0.003, 0.1), (-9.2, -205.4), "e4", 0.19, LgnInput(40, 0.50, True)),
    "i4Pvalb": CellClass(963, "4", 64.0, 7.60, -72.6, 26.2, 1.70, (0.003, 0.3), (-1.8, -51.8), "Pvalb", 0.69, LgnInput(40, 0.20, False)),
    "i4Sst": CellClass(415, "4", 60.3, 6.21, -71.7, 30.6, 2.05, (0.1, 0.3), (-169.9, 377.4), "Sst", 0.95),
    "i4Vip": CellClass(270, "4", 61.1, 3.09, -72.6, 30.6, 5.15, (0.007, 0.1), (-13.9, -66.1), "Vip", 1.00),
    "e5ET": CellClass(1191, "5", 159.4, 7.59, -70.8, 25.2, 4.57, (0.03, 0.1), (-37.3, -205.6), "e5ET", 0.51, LgnInput(24, 0.40, True)),
    "e5IT": CellClass(4170, "5", 131.7, 8.37, -71.8, 29.0, 4.60, (0.003, 0.1), (-13.2, -245.7), "e5IT", 0.42, LgnInput(24, 0.40, True)),
    "e5NP": CellClass(596, "5", 100.4, 4.45, -75.4, 30.8, 5.45, (0.007, 0.1), (-13.9, -169.0), "e5NP", 1.02),
    "i5Pvalb": CellClass(520, "5", 52.5, 5.05, -73.9, 24.7, 1.78, (0.065, 0.3), (-38.8, 25.7), "Pvalb", 0.77, LgnInput(12, 0.10, False)),
    "i5Sst": CellClass(258, "5", 70.6, 4.74, -72.8, 29.0, 2.15, (0.065, 0.3), (-49.2, 239.6), "Sst", 0.91),
    "i5Vip": CellClass(45, "5", 48.1, 3.50, -73.0, 26.2, 3.70, (0.003, 0.1), (-3.9, -88.5), "Vip", 0.97),
    "e6": CellClass(12594, "6", 96.1, 5.93, -77.5, 35.2, 3.85, (0.003, 0.03), (-12.4, -108.7), "e6", 0.42, LgnInput(24, 0.40, True)),
    "i6Pvalb": CellClass(989, "6", 49.6, 5.99, -72.9, 23.9, 1.75, (0.052, 0.2), (-70.7, 98.8), "Pvalb", 0.81, LgnInput(12, 0.10, False)),
    "i6Sst": CellClass(925, "6", 68.3, 7.14, -71.6, 29.3, 2.58, (0.052, 0.3), (-74.5, 117.0), "Sst", 0.90),
    "i6Vip": CellClass(186, "6", 58.4, 3.37, -67.5, 26.4, 3.73, (0.052, 0.2), (-44.3, 59.3), "Vip", 1.00),
}  # fmt: skip

#: Neurons and radius of the whole column (V1): they set the density of smaller ones.
COLUMN_NEURONS = 230_924
COLUMN_RADIUS_UM = 845.0
#: Where layer 6 ends (V1).
LAYER_BOTTOM_UM = 840.0
#: Synaptic time constants of receptors 0..3 (V1).
TAU_SYN_MS = (5.5, 8.5, 2.8, 5.8)
#: Visual degrees a um of cortex along x and z (V1).
DEG_PER_UM = (0.07, 0.04)

#: Connection probability of cells on top of each other, by presynaptic (row) and
#: postsynaptic class in the order of ``CLASSES`` (biorealistic).
P_MAX = np.array(
    [
        [0.2372, 0.1757, 0.1758, 0.0917, 0.1192, 0.0118, 0.0207, 0.0102, 0.0797, 0.1682, 0.0538, 0.0162, 0.0049, 0.0022, 0.0085, 0.0117, 0.0033, 0, 0],  # i1Htr3a
        [0.0280, 0.0449, 0.2860, 0.2940, 0.0893, 0.0071, 0.1796, 0.4027, 0.0601, 0.1026, 0.0191, 0.0052, 0.1135, 0.1779, 0.0312, 0.0074, 0.0127, 0.0035, 0.0010],  # e23
        [0.1142, 0.6758, 0.6561, 0.3800, 0.2754, 0.0782, 0.2315, 0.2499, 0.0663, 0.3479, 0.1036, 0.0311, 0.1756, 0.1181, 0.0315, 0.0267, 0.0632, 0.0350, 0.0050],  # i23Pvalb
        [0.1771, 0.5266, 0.5608, 0.3381, 0.4038, 0.0411, 0.1808, 0.1504, 0.0806, 0.2285, 0.0496, 0.1707, 0.0819, 0.0623, 0.0186, 0.0128, 0.0236, 0.0164, 0],  # i23Sst
        [0.0595, 0.0883, 0.2117, 0.2618, 0.1943, 0.0456, 0.1342, 0.3488, 0.2491, 0.1791, 0.0916, 0.0161, 0.1125, 0.2083, 0.1712, 0.0401, 0.0654, 0.0258, 0.0286],  # i23Vip
        [0.0043, 0.0169, 0.0604, 0.0294, 0.0392, 0.0305, 0.3157, 0.3243, 0.0845, 0.0794, 0.0208, 0.0027, 0.1419, 0.1456, 0.0195, 0.0110, 0.0299, 0.0181, 0.0018],  # e4
        [0.0118, 0.4405, 0.4501, 0.2022, 0.1552, 0.4880, 0.6332, 0.3884, 0.1949, 0.3726, 0.1803, 0.0185, 0.2760, 0.1380, 0.0557, 0.0285, 0.0480, 0.0179, 0.0064],  # i4Pvalb
        [0.1426, 0.6652, 0.6428, 0.3555, 0.4544, 0.4768, 0.6422, 0.3895, 0.2839, 0.3597, 0.1456, 0.1904, 0.2929, 0.1900, 0.0833, 0.0273, 0.0746, 0.0429, 0.0080],  # i4Sst
        [0, 0.0069, 0.0532, 0.0359, 0.0476, 0.0090, 0.1609, 0.4014, 0.2627, 0.0773, 0.0318, 0.1309, 0.2672, 0.5362, 0.1963, 0.0190, 0.1203, 0.1634, 0.0840],  # i4Vip
        [0.0129, 0.0068, 0.0404, 0.0313, 0.0185, 0.0029, 0.0326, 0.0442, 0.0261, 0.0322, 0.0191, 0.0180, 0.1338, 0.1944, 0.0161, 0.0058, 0.0227, 0.0100, 0.0039],  # e5ET
        [0.0076, 0.0197, 0.0473, 0.0417, 0.0172, 0.0088, 0.1395, 0.1561, 0.0739, 0.0875, 0.0188, 0.0097, 0.2270, 0.2283, 0.0537, 0.0146, 0.0523, 0.0112, 0.0131],  # e5IT
        [0.0008, 0.0055, 0.0045, 0.0080, 0.0165, 0.0066, 0.0330, 0.0244, 0.1444, 0.2228, 0.0565, 0.0185, 0.1941, 0.2547, 0.1207, 0.0510, 0.0620, 0.0469, 0.1334],  # e5NP
        [0.0095, 0.1536, 0.1492, 0.0729, 0.0867, 0.2758, 0.3976, 0.2706, 0.2003, 0.4717, 0.3299, 0.0881, 0.3491, 0.2034, 0.1101, 0.0777, 0.1104, 0.0428, 0.0393],  # i5Pvalb
        [0.1314, 0.4502, 0.3620, 0.1842, 0.3147, 0.3190, 0.4595, 0.2814, 0.3143, 0.5135, 0.2429, 0.1599, 0.3400, 0.2449, 0.1253, 0.0733, 0.1010, 0.0653, 0.0220],  # i5Sst
        [0.0045, 0.0578, 0.0709, 0.0748, 0.0859, 0.0070, 0.1045, 0.2089, 0.1499, 0.0880, 0.0098, 0.0097, 0.1382, 0.1681, 0.1042, 0.0283, 0.1336, 0.0535, 0.0356],  # i5Vip
        [0, 0.0002, 0.0009, 0.0007, 0.0001, 0.0014, 0.0111, 0.0130, 0.0088, 0.0127, 0.0032, 0.0061, 0.0311, 0.0480, 0.0292, 0.0324, 0.2281, 0.2328, 0.0378],  # e6
        [0.0025, 0.0123, 0.0055, 0.0071, 0.0051, 0.0148, 0.0298, 0.0191, 0.0481, 0.0812, 0.0593, 0.0660, 0.0846, 0.0341, 0.0830, 0.4943, 0.4204, 0.1834, 0.1292],  # i6Pvalb
        [0.0289, 0.0402, 0.0104, 0.0281, 0.0396, 0.0198, 0.0968, 0.0345, 0.2136, 0.0360, 0.0950, 0.0148, 0.1568, 0.0614, 0.1796, 0.2555, 0.3385, 0.0977, 0.3006],  # i6Sst
        [0, 0.0013, 0, 0, 0, 0.0008, 0.0018, 0, 0.0249, 0.0349, 0.0094, 0.0562, 0.0257, 0.0199, 0.0059, 0.0461, 0.1001, 0.1802, 0.1075],  # i6Vip
    ]
)  # fmt: skip
P_MAX.flags.writeable = False

#: Lateral fall-off of the probability (sigma of a Gaussian) by receptor: E to E, I to E,
#: E to I, I to I (biorealistic).
SIGMA_UM = (127.0, 97.0, 100.0, 127.0)

#: Order of the rows and columns of ``PSP_MV``.
PSP_GROUPS = ("e23", "e4", "e5ET", "e5IT", "e5NP", "e6", "Pvalb", "Sst", "Vip")
#: Amplitude of a postsynaptic potential in mV by presynaptic (row) and postsynaptic group:
#: mean over connections at rest (biorealistic).
PSP_MV = np.array(
    [
        [0.26, 0.26, 0.26, 0.26, 0.26, 0.26, 0.38, 0.30, 0.61],  # e23
        [0.32, 0.36, 0.32, 0.32, 0.32, 0.32, 0.62, 0.03, 0.51],  # e4
        [0.39, 0.39, 0.38, 0.39, 0.39, 0.39, 0.48, 0.05, 0.48],  # e5ET
        [0.35, 0.35, 0.35, 0.24, 0.35, 0.35, 0.71, 0.21, 0.36],  # e5IT
        [0.26, 0.34, 0.40, 0.23, 0.37, 0.37, 0.52, 0.40, 0.40],  # e5NP
        [0.26, 0.34, 0.40, 0.23, 0.37, 0.37, 0.52, 0.40, 0.40],  # e6
        [0.40, 0.71, 0.51, 0.65, 0.63, 0.63, 0.65, 0.52, 0.60],  # Pvalb
        [0.29, 0.22, 0.43, 0.18, 0.29, 0.29, 0.25, 0.27, 0.34],  # Sst
        [0.31, 0.50, 0.45, 0.38, 0.56, 0.56, 0.20, 0.27, 0.26],  # Vip
    ]
)  # fmt: skip
PSP_MV.flags.writeable = False


class LgnClass(NamedTuple):
    """One LGN class: how many of the table's 17,400 cells, and medians of their kernels.

    The first delay of a kernel is 0 in all of them.
    """

    n_cells: int
    kpeak_ms: tuple[float, float]
    weight: tuple[float, float]
    second_delay_ms: float


#: Medians by class of the LGN table of V1; composite cells: their OFF subunit.
LGN_CLASSES = {
    "sOFF_TF1": LgnClass(1200, (54.44, 127.96), (2.114, -1.221), 5.0),
    "sOFF_TF15": LgnClass(1050, (4.74, 21.63), (10.009, -3.264), 5.0),
    "sOFF_TF2": LgnClass(1200, (19.86, 92.08), (3.179, -1.141), 25.0),
    "sOFF_TF4": LgnClass(2250, (22.25, 56.12), (3.233, -1.658), 15.0),
    "sOFF_TF8": LgnClass(1200, (18.02, 51.21), (3.252, -1.685), 15.0),
    "sON_TF1": LgnClass(1050, (56.54, 137.25), (0.999, -0.446), 15.0),
    "sON_TF2": LgnClass(750, (31.22, 137.12), (4.289, -1.426), 5.0),
    "sON_TF4": LgnClass(1050, (30.76, 58.34), (3.589, -1.815), 25.0),
    "sON_TF8": LgnClass(2250, (12.94, 28.28), (3.709, -1.753), 25.0),
    "sONsOFF_001": LgnClass(1200, (22.25, 56.11), (3.229, -1.658), 15.0),
    "sONtOFF_001": LgnClass(750, (8.52, 23.25), (4.214, -2.404), 0.0),
    "tOFF_TF15": LgnClass(1200, (8.26, 19.98), (3.441, -2.116), 0.0),
    "tOFF_TF4": LgnClass(1500, (29.17, 59.30), (3.347, -2.182), 15.0),
    "tOFF_TF8": LgnClass(750, (8.53, 23.23), (4.219, -2.407), 0.0),
}  # fmt: skip
