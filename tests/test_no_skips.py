"""What becomes of a skipped test, in CI and on a laptop."""

import pytest

pytest_plugins = ["pytester"]

TESTS = """
    import pytest

    def test_that_skips_itself():
        pytest.skip("No Java here.")

    @pytest.mark.skip(reason="No Java there.")
    def test_that_a_mark_skips():
        pass

    @pytest.mark.xfail(reason="Not done yet.")
    def test_that_is_expected_to_fail():
        raise AssertionError
"""
FILE = """
    import pytest

    pytest.skip("No Java at all.", allow_module_level=True)
"""
OPTIONS = ("-n1", "--continue-on-collection-errors", "-ptests.plugins.no_skips")


def test_a_skip_fails_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In CI a skipped test or file fails and says why; an expected failure does not."""
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(test_some=TESTS, test_file=FILE)

    result = pytester.runpytest(*OPTIONS)

    result.assert_outcomes(failed=1, errors=2, xfailed=1)
    result.stdout.fnmatch_lines_random(
        [
            "*Skipped: No Java here. (nothing may be skipped in CI)",
            "*Skipped: No Java there. (nothing may be skipped in CI)",
            "*Skipped: No Java at all. (nothing may be skipped in CI)",
        ]
    )


def test_a_skip_is_a_skip_on_a_laptop(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside CI a skipped test or file is reported as one, and fails nothing."""
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(test_some=TESTS, test_file=FILE)

    result = pytester.runpytest(*OPTIONS)

    result.assert_outcomes(skipped=3, xfailed=1)
