from __future__ import annotations

import os
from pathlib import Path

import pytest

import gxt.git
from gxt.errors import (
    FileChangedError,
    GitError,
    NoGitError,
    NotARepositoryError,
    RefLockedError,
    RefMovedError,
    UsageError,
)
from gxt.git import Identity, Repository
from helpers import git, record


def test_a_repository_is_found_from_anywhere_in_it(work: Path) -> None:
    (work / "a" / "b").mkdir(parents=True)
    for path in (work, work / "a" / "b", work / "train.py"):
        found = gxt.git.find(path)
        assert found == Repository(work / ".git", work / ".git", work)


def test_a_linked_work_tree_shares_the_common_directory(work: Path, tmp_path: Path) -> None:
    git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    found = gxt.git.find(tmp_path / "linked")
    assert (found.common_dir, found.work_tree) == (work / ".git", tmp_path / "linked")
    assert found.git_dir == work / ".git" / "worktrees" / "linked"


def test_a_bare_repository_and_the_git_directory_have_no_work_tree(work: Path, tmp_path: Path) -> None:
    git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    assert gxt.git.find(tmp_path / "bare.git") == Repository(tmp_path / "bare.git", tmp_path / "bare.git", None)
    assert gxt.git.find(work / ".git").common_dir == work / ".git"


def test_a_symbolic_link_leads_to_the_repository(work: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(work)
    assert gxt.git.find(tmp_path / "link").common_dir == work / ".git"


def test_where_there_is_no_repository(tmp_path: Path, work: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(NotARepositoryError, match="git init"):
        gxt.git.find(tmp_path / "plain")
    with pytest.raises(UsageError, match="no such directory"):
        gxt.git.find(tmp_path / "missing")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(NotARepositoryError):
        gxt.git.find(broken)


def test_without_git_the_error_says_so(work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoGitError, match="not installed"):
        gxt.git.config(gxt.git.find(work))
    with pytest.raises(NoGitError, match="not installed"):
        gxt.git.find(tmp_path)


def test_the_configuration_in_force(repo: Repository) -> None:
    git("config", "gxt.Branch", "runs")
    git("config", "remote.Origin.url", "https://example.com/a=b")
    git("config", "--add", "gxt.multi", "one")
    git("config", "--add", "gxt.multi", "two\nlines")
    with (repo.common_dir / "config").open("a") as file:
        file.write("[commit]\n\tgpgSign\n")
    values = gxt.git.config(repo)
    assert values["gxt.branch"] == "runs" and values["user.name"] == "Ada Lovelace"
    assert values["gxt.multi"] == "two\nlines" and gxt.git.is_true(values["commit.gpgsign"])
    assert gxt.git.remote_urls(values) == {"Origin": "https://example.com/a=b"}
    git("config", "gxt.experiment", "taxi", cwd=repo.work_tree)
    assert git("config", "--local", "gxt.experiment") == "taxi"


def test_configuration_given_to_git_on_its_command_line_reaches_us(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "gxt.branch")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "other")
    assert gxt.git.config(repo)["gxt.branch"] == "other"


@pytest.fixture
def known(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository whose configuration has been read, and a clock by which its files are old."""
    monkeypatch.setattr("gxt.git.settings._RESOLUTION", -3600 * 10**9)
    gxt.git.config(repo)
    return repo


def test_a_configuration_that_nobody_has_touched_is_not_asked_for_again(
    known: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = gxt.git.config(known)
    assert before["user.name"] == "Ada Lovelace"
    before["user.name"] = "somebody"  # it is the caller's own
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gxt.git.config(known)["user.name"] == "Ada Lovelace"


@pytest.mark.parametrize(
    "where", [".gitconfig", ".config/git/config", "local", "worktree", "environment", "another home"]
)
def test_a_configuration_that_has_changed_is_read_again(
    known: Repository, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = Path(os.environ["HOME"])
    if where == "environment":
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "gxt.branch")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", "other")
    elif where in ("local", "worktree"):
        git("config", "extensions.worktreeConfig", "true")
        assert "gxt.branch" not in gxt.git.config(known)
        git("config", f"--{where}", "gxt.branch", "other")
    else:
        if where == "another home":
            home = tmp_path / "elsewhere"
            monkeypatch.setenv("HOME", str(home))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
        gxt.git.config(known)
        file = home / (".gitconfig" if where == "another home" else where)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as out:
            out.write("[gxt]\n\tbranch = other\n")
    assert gxt.git.config(known)["gxt.branch"] == "other"


def test_a_configuration_that_includes_others_is_read_each_time(known: Repository, tmp_path: Path) -> None:
    git("config", "include.path", str(tmp_path / "more"))
    assert "gxt.branch" not in gxt.git.config(known)
    (tmp_path / "more").write_text("[gxt]\n\tbranch = other\n")
    assert gxt.git.config(known)["gxt.branch"] == "other"


def test_a_configuration_of_this_very_moment_is_read_again(
    repo: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("gxt.git.settings._RESOLUTION", 3600 * 10**9)
    git("config", "gxt.branch", "one")
    assert gxt.git.config(repo)["gxt.branch"] == "one"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoGitError):
        gxt.git.config(repo)


@pytest.mark.parametrize("word", ["true", "True", "yes", "ON", "1"])
def test_what_git_calls_true(word: str) -> None:
    assert gxt.git.is_true(word)


@pytest.mark.parametrize("word", ["false", "no", "off", "0", "", None])
def test_what_git_calls_false(word: str | None) -> None:
    assert not gxt.git.is_true(word)


def test_who_git_would_name(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"user.name": "Ada", "user.email": "ada@example.com", "author.email": "ada@work"}
    assert gxt.git.identity(settings, "author") == Identity("Ada", "ada@work")
    assert gxt.git.identity(settings, "committer") == Identity("Ada", "ada@example.com")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Grace")
    assert str(gxt.git.identity(settings, "committer")) == "Grace <ada@example.com>"
    nobody = gxt.git.identity({}, "author")
    assert nobody.name and "@" in nobody.email
    monkeypatch.setenv("EMAIL", "me@example.com")
    assert gxt.git.identity({"user.name": "Me"}, "author") == Identity("Me", "me@example.com")
    assert gxt.git.identity({"user.name": " <>\n", "user.email": "a"}, "author").name == "unknown"


def looked(repo: Repository) -> tuple[str | None, str | None, bool]:
    tree = gxt.git.look(repo, {}, gxt.git.Deadline(60))
    return tree.commit, tree.branch, tree.dirty


def test_head_in_its_states(work: Path, tmp_path: Path) -> None:
    first = git("rev-parse", "HEAD")
    repo = gxt.git.find(work)
    assert looked(repo) == (first, "main", False)
    (work / "new.txt").write_text("untracked")
    assert looked(repo) == (first, "main", True)
    (work / "new.txt").unlink()
    git("checkout", "-q", "--detach")
    assert looked(repo) == (first, None, False)
    git("checkout", "-q", "--orphan", "fresh")
    git("rm", "-q", "-f", "train.py")
    assert looked(repo) == (None, "fresh", False)
    git("clone", "-q", "--bare", str(work), str(tmp_path / "bare.git"))
    git("symbolic-ref", "HEAD", "refs/heads/main", cwd=tmp_path / "bare.git")
    assert looked(gxt.git.find(tmp_path / "bare.git")) == (first, "main", False)


def test_a_branch_whose_name_holds_slashes_and_spaces_of_the_world(work: Path) -> None:
    git("checkout", "-q", "-b", "feature/größe-模型")
    assert looked(gxt.git.find(work))[1] == "feature/größe-模型"


def test_revisions_and_objects(repo: Repository) -> None:
    head = git("rev-parse", "HEAD")
    assert gxt.git.resolve(repo, ["HEAD", "main", "missing", head, "HEAD^{tree}", ""]) == [
        head,
        head,
        None,
        head,
        None,
        None,
    ]
    contents = gxt.git.read_objects(repo, ["HEAD:train.py", "HEAD:missing file", f"{head}:train.py", "0" * 40])
    assert contents == [b"print('training')\n", None, b"print('training')\n", None]
    assert gxt.git.read_objects(repo, []) == []


def test_objects_of_any_content(repo: Repository, work: Path) -> None:
    samples = [b"", b"\n", b"x missing\n", b"\x00\xff\n\n", b"a" * 100_000]
    oids = []
    for sample in samples:
        (work / "sample").write_bytes(sample)
        oids.append(git("hash-object", "-w", "sample"))
    assert gxt.git.read_objects(repo, oids) == samples
    with gxt.git.open_blob(repo, oids[4]) as stream:
        assert stream.read(10) == b"a" * 10
    with pytest.raises(GitError), gxt.git.open_blob(repo, "0" * 40) as stream:
        stream.read()


def test_trees_and_files(repo: Repository, work: Path) -> None:
    (work / "größe dir").mkdir()
    (work / "größe dir" / "ta\tb").write_text("12345")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    entries, no_tree, nothing = gxt.git.read_trees(repo, ["HEAD^{tree}", "HEAD:train.py", "HEAD:nothing"])
    assert entries is not None and no_tree is None and nothing is None
    assert [(entry.name, entry.is_tree) for entry in entries] == [("größe dir", True), ("train.py", False)]
    assert entries[1].oid == git("rev-parse", "HEAD:train.py")
    assert [(file.path, file.size) for file in gxt.git.list_files(repo, "HEAD")] == [
        ("größe dir/ta\tb", 5),
        ("train.py", 18),
    ]


def test_remote_branches_begin_with_origin_s(repo: Repository) -> None:
    head = git("rev-parse", "HEAD")
    for remote in ("another", "origin", "a/b"):
        git("remote", "add", remote, "https://example.com/x.git")
    for name in ("another/gxt", "origin/gxt", "a/b/gxt", "origin/gxt-topic", "origin/main", "origin/feature/gxt"):
        git("update-ref", f"refs/remotes/{name}", head)
    assert list(gxt.git.remote_branches(repo, "gxt", gxt.git.config(repo))) == [
        "refs/remotes/origin/gxt",
        "refs/remotes/a/b/gxt",
        "refs/remotes/another/gxt",
    ]


def test_ancestors(repo: Repository) -> None:
    old = git("rev-parse", "HEAD")
    git("commit", "-q", "--allow-empty", "-m", "second")
    new = git("rev-parse", "HEAD")
    assert gxt.git.merge_bases(repo, old, new) == gxt.git.merge_bases(repo, new, old) == [old]
    assert gxt.git.count_commits(repo, new, old) > 0 and gxt.git.count_commits(repo, old, new) == 0
    with pytest.raises(GitError):
        gxt.git.merge_bases(repo, "0" * 40, new)


def test_commits_with_their_parents(repo: Repository) -> None:
    first = git("rev-parse", "HEAD")
    for branch in ("one", "two"):
        git("checkout", "-q", "-b", branch, first)
        git("commit", "-q", "--allow-empty", "-m", f"{branch}\n\nparent {'0' * 40}")
    git("merge", "-q", "one", "--no-edit")
    sides = [git("rev-parse", "two"), git("rev-parse", "HEAD^2")]
    root, merge, missing = gxt.git.commits_at(repo, ["main", "HEAD", "missing"])
    assert missing is None and root == (first, [])
    assert merge is not None and merge.parents == [git("rev-parse", "HEAD^1"), sides[1]]
    assert all(gxt.git.goes_on_from(repo, merge, commit) for commit in (merge.id, *merge.parents, first))
    assert not gxt.git.goes_on_from(repo, gxt.git.CommitAt(first, []), merge.id)
    (side,) = gxt.git.commits_at(repo, ["one"])
    assert side is not None and side.parents == [first]


def commit(repo: Repository, old: str | None, parent: str | None, **files: gxt.git.Content) -> str:
    changes = [(name.replace("__", "/"), content) for name, content in files.items()]
    return gxt.git.commit_files(repo, "refs/heads/gxt", old, parent, changes, "a message\n", gxt.git.config(repo))


def test_files_are_committed_replaced_and_taken_away(repo: Repository, work: Path) -> None:
    (work / "big").write_bytes(os.urandom(300_000))
    first = commit(repo, None, None, a=b"1", folder__b=b"\x00\n", big=(work / "big", 300_000), empty=b"")
    assert git("rev-parse", "gxt") == first
    assert git("cat-file", "-s", "gxt:big") == "300000" and git("cat-file", "-s", "gxt:empty") == "0"
    second = commit(repo, first, first, a=b"2", folder__b=None, missing=None)
    assert git("ls-tree", "-r", "--name-only", "gxt").split() == ["a", "big", "empty"]
    assert git("rev-parse", "gxt~1") == first and git("rev-parse", "gxt") == second
    git("fsck", "--strict")


@pytest.mark.parametrize(
    "path", ["with space", 'quo"te', "back\\slash", "größe/模型", "new\nline", "'single'", "-dash"]
)
def test_paths_of_any_kind_can_be_committed(repo: Repository, path: str) -> None:
    gxt.git.commit_files(repo, "refs/heads/gxt", None, None, [(path, b"content")], "message\n", gxt.git.config(repo))
    assert git("ls-tree", "-r", "-z", "--name-only", "gxt").rstrip("\0") == path


def test_a_ref_that_moved_is_told_apart(repo: Repository) -> None:
    first = commit(repo, None, None, a=b"1")
    second = commit(repo, first, first, a=b"2")
    with pytest.raises(RefMovedError):
        commit(repo, first, first, a=b"3")
    with pytest.raises(RefMovedError):
        commit(repo, None, None, a=b"3")
    assert git("rev-parse", "gxt") == second
    with pytest.raises(RefMovedError):
        gxt.git.create_ref(repo, "refs/heads/gxt", first)
    assert not list(repo.common_dir.glob("fast_import_crash_*"))


def test_a_ref_that_somebody_locks_is_told_apart(repo: Repository) -> None:
    first = commit(repo, None, None, a=b"1")
    lock = repo.common_dir / "refs" / "heads" / "gxt.lock"
    lock.write_bytes(b"")
    with pytest.raises(RefLockedError):
        commit(repo, first, first, a=b"2")
    lock.unlink()
    commit(repo, first, first, a=b"2")


def test_a_file_that_cannot_be_read_commits_nothing(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"12")
    for missing in ((tmp_path / "missing", 1), (tmp_path / "short", 3)):
        with pytest.raises(FileChangedError):
            commit(repo, None, None, a=missing)
    assert git("for-each-ref", "refs/heads/gxt") == ""


def test_a_file_that_grows_is_committed_as_it_was_when_it_was_looked_at(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "growing").write_bytes(b"123 and more")
    commit(repo, None, None, a=(tmp_path / "growing", 3))
    assert git("show", "gxt:a") == "123"


def test_git_s_own_words_reach_the_error(repo: Repository) -> None:
    with pytest.raises(GitError, match=r"git ls-tree failed: .*missing"):
        gxt.git.list_files(repo, "missing")


def test_a_repository_is_made_with_its_first_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(os.environ["GIT_CONFIG_GLOBAL"]).write_text("")
    made = gxt.git.init(tmp_path / "new", {"README.md": "hello\n", "src/a.py": "größe\n"})
    assert git("ls-tree", "-r", "--name-only", "main", cwd=tmp_path / "new").split() == ["README.md", "src/a.py"]
    assert git("status", "--porcelain", cwd=tmp_path / "new") == ""
    record(made)


def test_git_works_where_the_current_directory_is_gone(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert gxt.git.config(repo)["user.name"] == "Ada Lovelace"
    assert gxt.git.read_objects(repo, ["HEAD:train.py"]) == [b"print('training')\n"]


def test_commits_and_files_between_two_commits(repo: Repository, work: Path) -> None:
    (first,) = gxt.git.resolve(repo, ["HEAD"])
    (work / "train.py").write_text("one\ntwo\n")
    (work / "data.bin").write_bytes(b"\0\1")
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "A subject\n\nand a body", cwd=work)
    git("commit", "-q", "--allow-empty", "--allow-empty-message", "-m", "", cwd=work)
    (last,) = gxt.git.resolve(repo, ["HEAD"])
    assert first and last
    between = gxt.git.commits_between(repo, first, last, 10)
    assert [(commit.subject, commit.author) for commit in between] == [
        ("", "Ada Lovelace"),
        ("A subject", "Ada Lovelace"),
    ]
    assert between[0].id == last and gxt.git.commits_between(repo, first, last, 1) == between[:1]
    assert gxt.git.commits_between(repo, last, first, 10) == []
    assert gxt.git.changed_files(repo, first, last) == [
        ("data.bin", None, None, "new", None),
        ("train.py", 2, 1, "changed", None),
    ]
    assert gxt.git.changed_files(repo, last, last) == []
