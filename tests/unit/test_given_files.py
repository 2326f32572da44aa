"""What HDF5 and NumPy pass in silence is refused wherever v1sim reads a file."""

from __future__ import annotations

import contextlib

import h5py
import numpy as np
import pytest

from tests.networks import tiny_network, with_parts
from v1sim.errors import InputError
from v1sim.files.hdf5 import given_hdf5, open_hdf5
from v1sim.files.numpy_array import read_array
from v1sim.model import Trial
from v1sim.recording import read_sonata
from v1sim.sources import open_network
from v1sim.sources.ground_truth import read_ground_truth, read_input, truth_groups
from v1sim.sources.readout_groups import read_readout_groups
from v1sim.stimulus.background import read_draws
from v1sim.stimulus.kinds import KINDS
from v1sim.stimulus.pictures import read_images, read_movie

N_LGN, N_STEPS, N_TRIALS, N = 24, 40, 4, 60
NETWORK = with_parts(tiny_network(), n_lgn=N_LGN)
RNG = np.random.default_rng(0)


def stimulus(kind, path, **keys):
    made = KINDS[kind](kind=kind, file=path, **keys).made_for(NETWORK)
    return [made.input(trial.index, 1) for trial in made.trials]


def table_of_cells(path):
    names = "id model_id x y spatial_size kpeaks_dom_0 kpeaks_dom_1 weight_dom_0 weight_dom_1 "
    names += "delay_dom_0 delay_dom_1 kpeaks_non_dom_0 kpeaks_non_dom_1 weight_non_dom_0 "
    names += "weight_non_dom_1 delay_non_dom_0 delay_non_dom_1 tuning_angle sf_sep"
    rows = [f"{i} sON_TF8 {i + 1} 40 6 12.9 28.3 3.7 -1.7 0 25" + " NaN" * 8 for i in range(N_LGN)]
    path.write_text("\n".join([names, *rows]))
    return path


def grey(path):
    grey_from(path, path.parent)


def grey_from(path, folder):
    table = table_of_cells(folder / "table.csv")
    KINDS["grey"](kind="grey", lgn_table=table, lgn_ids_from=path).made_for(NETWORK)


def truth(path):
    read_input(path, N_LGN)
    for group in truth_groups(path):
        read_ground_truth(path, group, (N_TRIALS, N_STEPS, N))


TRIALS = [Trial(i, 40.0 * i, 40.0, (0.0, 40.0), {}) for i in range(N_TRIALS)]
#: How a file is read, and a sound one: the dataset that is damaged comes first.
READERS = {
    "probabilities": (
        lambda path: stimulus("probabilities", path),
        {"spike_trains": RNG.uniform(0, 0.1, (N_TRIALS, N_STEPS, N_LGN)).astype("f4")},
    ),
    "labels": (
        lambda path: stimulus("probabilities", path),
        {
            "labels": np.arange(N_TRIALS),
            "spike_trains": RNG.uniform(0, 0.1, (N_TRIALS, N_STEPS, N_LGN)).astype("f4"),
        },
    ),
    "rates": (
        lambda path: stimulus("rates", path),
        {"rates_hz": RNG.uniform(0, 80, (N_STEPS, N_LGN))},
    ),
    "sonata_spikes": (
        lambda path: stimulus("sonata_spikes", path, duration_ms=200.0),
        {
            "spikes/lgn/timestamps": np.sort(RNG.uniform(0, 200, 300)),
            "spikes/lgn/node_ids": RNG.integers(0, N_LGN, 300),
        },
    ),
    "lgn_ids": (grey, {"lgn_cell_ids": np.arange(N_LGN)}),
    "draws": (
        lambda path: read_draws(path, [N_STEPS] * N_TRIALS),
        {"draws": RNG.integers(0, 4, (N_TRIALS, N_STEPS))},
    ),
    "truth_input": (
        truth,
        {
            "input_spikes": RNG.integers(0, 2, (N_TRIALS, N_STEPS, N_LGN)),
            "no_background/z": RNG.integers(0, 2, (N_TRIALS, N_STEPS, N)),
        },
    ),
    "truth": (
        truth,
        {
            "no_background/z": RNG.integers(0, 2, (N_TRIALS, N_STEPS, N)),
            "input_spikes": RNG.integers(0, 2, (N_TRIALS, N_STEPS, N_LGN)),
        },
    ),
    "truth_background": (
        truth,
        {
            "a/background": RNG.integers(0, 2, (N_TRIALS, N_STEPS)),
            "a/z": RNG.integers(0, 2, (N_TRIALS, N_STEPS, N)),
            "input_spikes": RNG.integers(0, 2, (N_TRIALS, N_STEPS, N_LGN)),
        },
    ),
    "recording": (
        lambda path: read_sonata(path, TRIALS, 1.0),
        {
            "spikes/v1/timestamps": np.arange(50.0),
            "spikes/v1/node_ids": np.arange(50),
            "spikes/lgn/node_ids": np.arange(9),
            "spikes/lgn/timestamps": np.arange(9.0),
        },
    ),
}


def sound(path, datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values


def half_written(file, name, values):
    """Three of four chunks were never written: HDF5 gives zeros for them."""
    size = -(-len(values) // 4)
    data = file.create_dataset(name, values.shape, values.dtype, chunks=(size, *values.shape[1:]))
    data[:size] = values[:size]


def never_written(file, name, values):
    file.create_dataset(name, values.shape, values.dtype)


def linked(file, name, values):
    other = f"{file.filename}.other"
    sound(other, {"x": values})
    file[name] = h5py.ExternalLink(other, "x")


def linked_above(file, name, values):
    other = f"{file.filename}.other"
    group, _, last = name.rpartition("/")
    sound(other, {f"g/{last}": values})
    file[group or name] = h5py.ExternalLink(other, "g" if group else f"g/{last}")


def virtual(file, name, values):
    other = f"{file.filename}.other"
    sound(other, {"x": values})
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource(other, "x", values.shape)
    file.create_virtual_dataset(name, layout)


def raw(file, name, values):
    other = f"{file.filename}.raw"
    values.tofile(other)
    file.create_dataset(name, values.shape, values.dtype, external=[(other, 0, h5py.h5f.UNLIMITED)])


def enormous(file, name, values):
    """A compressed dataset of one chunk that unpacks to more than any memory."""
    shape = (1 << 45, *values.shape[1:])
    file.create_dataset(
        name, shape, values.dtype, chunks=(1 << 20,) + (1,) * (values.ndim - 1), compression="gzip"
    )


@pytest.mark.parametrize("reader", READERS)
def test_sound_files_are_read(tmp_path, reader):
    read, datasets = READERS[reader]
    sound(tmp_path / "f.h5", datasets)
    read(tmp_path / "f.h5")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (half_written, "not all were written"),
        (never_written, "but the file holds 0"),
        (linked, r"link to another file|no group holds spikes"),
        (linked_above, r"link to another file|no group holds spikes"),
        (virtual, "in other files"),
        (raw, "in other files"),
        (enormous, "not all were written"),
    ],
)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_not_in_the_file_is_refused(tmp_path, reader, damage, message):
    read, datasets = READERS[reader]
    path = tmp_path / "f.h5"
    damaged, *others = datasets
    if damage is linked_above:
        others = [name for name in others if not name.startswith(f"{damaged.rpartition('/')[0]}/")]
    sound(path, {name: datasets[name] for name in others})
    with h5py.File(path, "a") as file:
        damage(file, damaged, datasets[damaged])
    before = path.read_bytes()
    with pytest.raises(InputError, match=message):
        read(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("n_bytes", [100, -1])
def test_a_file_that_was_cut_off_says_how_much_is_missing(tmp_path, n_bytes):
    path = tmp_path / "f.h5"
    sound(path, READERS["rates"][1])
    whole = path.read_bytes()
    path.write_bytes(whole[:n_bytes])
    with pytest.raises(InputError, match=r"cut off|damaged"):
        READERS["rates"][0](path)
    if n_bytes == -1:
        with pytest.raises(InputError, match=f"{len(whole) - 1:,} bytes are there, {len(whole):,}"):
            open_hdf5(path)


def test_networks_are_opened_in_the_same_way(tmp_path):
    (tmp_path / "page.h5").write_text("<!DOCTYPE html><html>log in</html>")
    with pytest.raises(InputError, match=r"an HTML or XML page(?s:.*)browser"):
        open_network(tmp_path / "page.h5")


def test_a_missing_compression_is_named(tmp_path, monkeypatch):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(100), chunks=(10,), compression="gzip")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    with (
        given_hdf5(path, error=InputError, expected="numbers") as file,
        pytest.raises(InputError, match=r"HDF5 filter 1\)(?s:.*)hdf5plugin"),
    ):
        file.numbers("x", (None,), expected="numbers")


def test_names_of_a_file_are_shown_without_control_characters(tmp_path):
    path = tmp_path / "f.h5"
    sound(path, {"a\x1b[31mred": np.arange(3)})
    with pytest.raises(InputError) as caught:
        READERS["rates"][0](path)
    assert "\x1b" not in str(caught.value)
    assert r"a\x1b[31mred" in str(caught.value)


def read(path, **keys):
    return read_array(path, error=InputError, expected="an array", **keys)


@pytest.mark.parametrize("mapped", [False, True])
def test_arrays(tmp_path, mapped):
    values = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read(tmp_path / "a.npy", mapped=mapped), values)
    np.save(tmp_path / "empty.npy", values[:0])
    assert read(tmp_path / "empty.npy", mapped=mapped).shape == (0, 4)


@pytest.mark.parametrize("mapped", [False, True])
def test_arrays_that_are_not_there_whole(tmp_path, mapped):
    np.save(tmp_path / "a.npy", np.arange(1000.0))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-8])
    np.save(tmp_path / "object.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    (tmp_path / "huge.npy").write_bytes(whole.replace(b"(1000,)", b"(9**9,)"))
    (tmp_path / "large.npy").write_bytes(whole.replace(b"(1000,), }      ", b"(1000, 9999), } "))
    (tmp_path / "pointer.npy").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"
    )
    expected = {
        "cut.npy": "7,992 bytes of values are there, 8,000",
        "object.npy": "Python objects",
        "huge.npy": "damaged",
        "large.npy": "bytes of values are there",
        "pointer.npy": "a Git LFS pointer",
        "absent.npy": "no such file",
    }
    for name, message in expected.items():
        with pytest.raises(InputError, match=message):
            read(tmp_path / name, mapped=mapped)


def _damaged(path):
    """Whatever a damaged file holds is an `InputError` or an input, for any number of cells."""
    for n_lgn in (8, 24, 100):
        network = with_parts(NETWORK, n_lgn=n_lgn)
        kind, keys = {
            "stim": ("probabilities", {}),
            "rates": ("rates", {}),
            "sonata": ("sonata_spikes", {"duration_ms": 100.0}),
        }[path.parents[1].name]
        try:
            made = KINDS[kind](kind=kind, file=path, **keys).made_for(network)
            for trial in made.trials:
                made.input(trial.index, 1)
        except InputError:
            pass
        else:
            return


DAMAGED_READERS = {
    "stim": _damaged,
    "rates": _damaged,
    "sonata": _damaged,
    "draws": lambda path: read_draws(path, [10, 10]),
    "truth": lambda path: [read_ground_truth(path, g, (2, 20, 60)) for g in truth_groups(path)],
    "readout": lambda path: read_readout_groups(path, 1000),
    "image": lambda path: (
        read_images([path], (120, 80))
        if path.stem == "img"
        else read_movie(path, (120, 80), frame_rate_hz=30.0)
    ),
}


@pytest.mark.parametrize("kind", [*DAMAGED_READERS, "lgnids"])
def test_damaged_files_are_named_or_read(shared_data, tmp_path, kind):
    folder = shared_data / "cases" / "damaged" / kind
    files = sorted(path for path in folder.rglob("*.*") if path.is_file())
    if not files:
        pytest.skip(f"no damaged files in {folder}")
    for path in files:
        with contextlib.suppress(InputError):
            if kind == "lgnids":
                grey_from(path, tmp_path)
            else:
                DAMAGED_READERS[kind](path)


def matlab_73(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("x", data=np.arange(6.0)).attrs["MATLAB_class"] = np.bytes_("double")


def hdf5_with(*names):
    return lambda path: sound(path, {name: np.arange(6.0) for name in names})


def text_of(content):
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (matlab_73, "a MATLAB 7.3 file"),
        (hdf5_with("edges/v1_v1/source_node_id"), r"a SONATA network \(edges\)"),
        (hdf5_with("nodes/v1/node_type_id"), r"a SONATA network \(nodes\)"),
        (hdf5_with("spikes/lgn/timestamps"), "a SONATA spike file"),
        (hdf5_with("spike_trains"), "a stimulus file"),
        (hdf5_with("layers/dense/vars/0"), "a Keras weight file"),
        (hdf5_with("x/axis0", "x/block0_values"), "a file of pandas"),
        (text_of(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), "Git LFS"),
        (text_of(b"/annex/objects/SHA256E-s1--1.h5\n"), "git-annex"),
        (text_of(b"\n<!DOCTYPE html><html>"), "an HTML or XML page"),
        (text_of(b"MATLAB 5.0 MAT-file, Platform"), "a MATLAB 5 file"),
        (text_of(b"\x1f\x8b\x08\x00"), "gzip"),
        (text_of(b'{"manifest": {}, "networks": {}}'), "names no nodes"),
        (text_of(b"x" * 60 + 0xDB4775248B80FB57.to_bytes(8, "little")), "a TensorFlow checkpoint"),
        (
            text_of(b"bkg_input_weights" * 6 + 0xDB4775248B80FB57.to_bytes(8, "little")),
            "a V1_GLIF_model checkpoint",
        ),
        (text_of(b"PK\x03\x04 weights/data.pkl"), "a PyTorch file"),
        (text_of(b""), "empty"),
    ],
)
def test_what_is_no_network_is_named_for_what_it_is(tmp_path, make, what):
    make(tmp_path / "f.h5")
    with pytest.raises(InputError, match=what) as caught:
        open_network(tmp_path / "f.h5")
    assert caught.value.hint
    if "SONATA spike" not in what:
        with pytest.raises(InputError) as caught:
            stimulus("sonata_spikes", tmp_path / "f.h5", duration_ms=100.0)
        assert caught.value.seen


def test_a_damaged_file_that_does_not_close_keeps_its_error(tmp_path, monkeypatch):
    """HDF5 may find out when it closes a damaged file: what was seen before that is said."""
    path = tmp_path / "f.h5"
    sound(path, {"x": np.arange(3)})

    def fail(self):
        raise RuntimeError("can't close")

    with (
        pytest.raises(InputError, match="no dataset 'y'"),
        given_hdf5(path, error=InputError, expected="numbers") as file,
    ):
        monkeypatch.setattr(h5py.File, "close", fail)
        file.numbers("y", (None,), expected="numbers")
