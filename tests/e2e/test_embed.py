"""The library as somebody else's project takes it: installed, found by find_package, linked, run."""
import subprocess

from support import BUILD, ROOT


def run(*command):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_example_builds_against_the_installed_package_and_runs(tmp_path):
    run("cmake", "--install", BUILD, "--prefix", tmp_path / "prefix")
    run("cmake", "-S", ROOT / "examples" / "embed", "-B", tmp_path / "build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={tmp_path}/prefix")
    run("cmake", "--build", tmp_path / "build")
    output = run(tmp_path / "build" / "embed")
    assert output.splitlines() == ["square:12 = 144, from origin", "square:12 = 144, from l1", "square:12 = 144, from l1",
                                   "square:-1 does not exist", "3*3 + 4*4 = 25", "loads: 4"]


def test_the_installed_programs_run(tmp_path):
    run("cmake", "--install", BUILD, "--prefix", tmp_path / "prefix", "--component", "programs")
    assert "candord" in run(tmp_path / "prefix" / "bin" / "candord", "--help")
