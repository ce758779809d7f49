"""Hostile gen_dgrl archives are refused in one line; what numpy 1 and 2 write is read as it was written."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import textwrap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hostile_archives as hostile
from d3rlpy_distill.errors import DatasetFormatError
from procgen_datasets import gen_dgrl_tar
from procgen_datasets.games import get_game
from procgen_datasets.gen_dgrl import import_gen_dgrl, read_gen_dgrl
from procgen_datasets.gen_dgrl_pickle import PickleRefusedError, read_arrays

MiB = 2**20
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and /proc are Linux's")

NUMPY_2 = [  # np.save of hostile_archives.EPISODE by numpy 2.4, then the same with protocols 5 and 2
    (
        "c-rmTF-yZh7{>9WHB_|V=A6m2P>S6|gcb`922&9n9Hd;5D=D-|xm+qm3oca)xApa_Ir~jCNd+xb9h`*cmvE5F@xM>-E}YA=^DA8&"
        "YqyrqV^3Izrghh`YNpkTgcL07M#AUW_6ZxrJl&52Hsa}brCKwm=HG1HZ#=&=w4B-vli_Gm?|PBo^<grQeI^8(kScct_o6VCBJm_G"
        "NE!J_Ql-#e9$ApB&8V%r^hg&}vGr<DRE94nBc7cvbPj0#wER_6`W-orbNZIb7rQCRonO<GDykg0F&ASd`{{iY6apg)2c?f}`r1Xi"
        "Ww#^++p3T>KC{8jYE;Xj$J)LI00000000000000000000000000003007-IHiFx156lBjsK2FeInNm2SH3J3h&C*I$@Ea!lAFI7D"
        ")nIRJb6I?C=1s$oLcX>*%X{u`Ll13T&q4`Hm-;)iB-!r"
    ),
    (
        "c-rmTF-yZh7{>9OrBqaK5Zr_;k_b|C6A>&34hE|T4h~W-$%O=LQZAQD(Sl3W!fk!^^SSsr^h^r2I5;>7&u<91%kfY00p3ab^7Q<Q"
        "S$*ry2}K@AXWw@2&zx=Bi884qPdk|m#n<*RzsZH!&tu*bX6<fm+e7<rmLBRa@4Hq>uct+~H)wW(Op0c=xKRn0k`G9)bfgHfG*_|+"
        "6irCi%af!VX;>YZkY|nPi23wH7vy?uE3WB!s0Kapb$;P&kH*i{qnc*-)NZ#=K8*6>9V+t2*EA$ouVj8MWS^_VypQzS>?fIfA(Mdg"
        "awn2m*Ds<-NRxM8tsM&h000000000000000000000000000908ikJ05vHLx15U<Wp8d!>a*JEDIYk4h2njMicCv}4d)x<%(?!GQg"
        "YmM1zGB?3+KtH=C%N{A-sDe`5av9DCD{qHoFq#R*o4@4hVU~(2#-<roR{URn)?=e-qu^%Q`~-B}+iC"
    ),
    (
        "c-rmT$!^m?9LI4dAx&$_zVBgm0wFZ4p%hZKB4LrDk&w&*MP8<Iq}0xDJSmE3B`!_LnHS()crci;lO8BHPDuYxqAcUFzxD(CzqdcU"
        "d;c+KY#3jxfG57N7R%P=s#PmnYq5~RjXJRixL#gydkI(TN$B>u`d_Km%3I}sV}8y1(O|tltatoa@cR0oC%di??$GQA?#EFg#lV*)"
        "jBJ}31=&&LY-1aFU!4|kKQVcvf0!sZIm0kK>~m(+ch8mGsDa`LGYq92%reYX>|Awnu|N*{>KxO_tG%mD>>q#I!92r(ik)3&69?Pv"
        "_S;`d`eC;u4te8GIJ|`;6=z;;iM@o24b@Tiild<srZ;vhRJG#_Csa+n?Sj2*FH4*Zv(})2Q@VAU;f!j9e^d;Kv)(u?IL3lO2qA<J"
        "LI@#*5JCtcgb+dqA%qY@2qA<JLI@#*kpBSAg~buhGhC3k=s6{|<oemT!KLZAL0OL*TxPhUXARVAgsYQDgKiVo^rXRch8xqVh9y{g"
        "<_#+8yuqwGTAFsNx_gu1mP9S<3jWy@L4w=UZe4fpFf8nL8<Xx@6L)p@9>aY-;jp*(AT7@AKIhLLEj-l8M+{Ag$DUJEt3e#`1dG$)"
        "6CGS)c$x;c@obXw8ffX<GQ;z~4^+HJbNcafc&Rh57+y=Pcmr4BjaUB-rPb+`"
    ),
]


@linux
def test_every_hostile_archive_is_refused_within_bounds() -> None:
    """In a process of its own, whose address space is limited: a crash or a bomb ends that one."""
    command = [sys.executable, hostile.__file__, "--seed", "0", "--count", "200"]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    outcome = json.loads(result.stdout)
    assert outcome["refused"] > 1500 and outcome["refused"] + outcome["read"] > 2000
    assert 0 < outcome["read"] < 100  # a flipped pixel is no damage that a reader can see
    assert outcome["memory"] < 64 * MiB, outcome


def test_a_campaign_is_the_same_for_the_same_seed() -> None:
    first, second, third = (list(hostile.mutations(seed, 30)) for seed in (5, 5, 6))
    assert first == second != third


def values() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "observations": rng.integers(0, 256, (2, 3, 64, 64), np.uint8),
        "fortran": np.asfortranarray(rng.random((3, 5))),
        "strided": rng.random((6, 5))[::2, 1:],
        "big": rng.integers(-9, 9, 7).astype(">i4"),
        "half": rng.random(5).astype(np.float16),
        "bools": rng.random(9) < 0.5,
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(3.5),
        "one": np.array([200], np.uint8),
        "two": np.array([200], np.uint8),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_are_read_as_numpy_wrote_them(protocol: int) -> None:
    expected = values()
    shared = expected["half"]
    other = {
        "number": 3,
        "long": 2**60,
        "float": 0.5,
        "text": "a",
        "none": None,
        "list": [1, (2, True)],
        "np": np.float64(1),
    }
    data = pickle.dumps(np.array({**expected, **other, "same": shared}, dtype=object), protocol=protocol)
    arrays = read_arrays(memoryview(data))
    assert sorted(arrays) == sorted([*expected, "same"])
    for key, array in {**expected, "same": shared}.items():
        assert arrays[key].dtype == array.dtype and arrays[key].shape == array.shape, key
        np.testing.assert_array_equal(arrays[key], array)
        assert not arrays[key].flags.writeable or not arrays[key].size
    assert arrays["same"] is arrays["half"]
    if protocol > 2:  # a view of the file's bytes, no copy
        assert np.shares_memory(arrays["observations"], np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("packed", NUMPY_2)
def test_what_numpy_2_writes_is_read(tmp_path: Path, packed: str) -> None:
    data = zlib.decompress(base64.b85decode(packed))
    assert b"numpy._core." in data
    path = tmp_path / "a.tar.xz"
    path.write_bytes(hostile.archive_of(data))
    (episode,) = read_gen_dgrl(path, get_game("coinrun"))
    np.testing.assert_array_equal(episode.observations, hostile.EPISODE["observations"])
    assert (episode.actions.tolist(), episode.rewards.tolist()) == ([7], [0.5])


def test_the_dtype_attack_is_refused_by_its_flags() -> None:
    """The check can fail: with plain flags the same bytes are read."""
    state = hostile.NONE * 3 + hostile.integer(-1) * 2
    for flags, admitted in ((0, True), (63, False)):
        kind = hostile.dtype("u8", None, state + hostile.integer(flags))
        data = memoryview(hostile.with_extra(hostile.array((1,), kind, hostile.raw(bytes(8)))))
        if admitted:
            assert read_arrays(data)["x"].tolist() == [0]
        else:
            with pytest.raises(PickleRefusedError, match="a dtype u8 with fields, flags or metadata"):
                read_arrays(data)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_every_format_are_read(tmp_path: Path, form: int) -> None:
    data = hostile.npy(hostile.valid_pickle(4))
    path, folder = tmp_path / "a.tar.xz", "expert/" + "level/" * 15 + "x" * 30
    with tarfile.open(path, "w:xz", format=form, preset=0) as tar:
        for name in ("README", f"{folder}/{hostile.NAME}", f"short/{hostile.NAME}"):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1666137600
            tar.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo("folder")
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    assert len(list(read_gen_dgrl(path, get_game("coinrun")))) == 2


def test_what_decompresses_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = hostile.npy(hostile.valid_pickle(4))
    path = tmp_path / "a.tar.xz"
    path.write_bytes(hostile.tar(*(hostile.member(data, f"{i}{hostile.NAME}") for i in range(2000))))
    monkeypatch.setattr(gen_dgrl_tar, "ALLOWANCE", 2**20)
    seen = 0
    with pytest.raises(DatasetFormatError, match="decompress to more than"):
        for _ in read_gen_dgrl(path, get_game("coinrun")):
            seen += 1
    assert 50 < seen < 1900


@linux
def test_the_memory_limit_holds_and_is_lifted() -> None:
    """In a process of its own: one that has freed as much before may be given it again without asking the system."""
    code = """
        import resource
        import numpy as np
        import pytest
        from d3rlpy_distill.memory import memory_limit

        MiB = 2**20
        before = resource.getrlimit(resource.RLIMIT_DATA)
        with memory_limit(64 * MiB):
            assert len(bytearray(16 * MiB)) == 16 * MiB
            with pytest.raises(MemoryError):
                np.ones(256 * MiB, np.uint8)
            with memory_limit(2**40), pytest.raises(MemoryError):  # a lower limit that stands is kept
                np.ones(256 * MiB, np.uint8)
        assert resource.getrlimit(resource.RLIMIT_DATA) == before
        assert len(np.ones(256 * MiB, np.uint8)) == 256 * MiB
        print("held and lifted")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout == "held and lifted\n", done.stderr


@linux
def test_an_import_without_memory_ends_in_one_line(tmp_path: Path) -> None:
    name = "a_600_17_0.50.npy"
    episode = {
        "observations": np.zeros((600, 3, 64, 64)),
        "actions": np.zeros(600),
        "rewards": np.eye(1, 600)[0] / 2,
        "dones": np.eye(1, 600, 599)[0],
    }
    archive, out = tmp_path / "a.tar.xz", tmp_path / "out.h5"
    archive.write_bytes(
        hostile.tar(
            hostile.member(hostile.npy(hostile.valid_pickle(4)), "1" + hostile.NAME),
            hostile.member(hostile.npy(hostile.valid_pickle(4, episode)), name),
        )
    )
    code = (  # in a process of its own, whose memory no other test has taken before
        "import sys; from rld_distill.commands import import_data; from rld_distill.main import entry_point;"
        f"import_data.MAX_MEMORY = {24 * MiB}; sys.argv[0] = 'rld-distill'; entry_point()"  # its frames are 59 MB
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "import", "gen-dgrl", archive, "--game", "coinrun", "--out", out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1 and "needs more memory than there is" in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]
    assert import_gen_dgrl(archive, "coinrun", out).num_transitions == 601
