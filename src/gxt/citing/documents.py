"""The text of documents: of word processors, notebooks, and files of text in the encodings that these come in."""

from __future__ import annotations

import codecs
import re

from gxt.errors import FormatError

_OF_WORD_PROCESSORS = {"word/document.xml": r"</w:p>", "content.xml": r"</text:(?:p|h)>"}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def text_of(data: bytes, name: str) -> str:
    """The text of a document: of one of Word or OpenDocument, its paragraphs; of a notebook, what its cells say, on the
    lines that they are on; any other file's as it is.

    Text is UTF-8, or UTF-16 or UTF-32 by the mark that it begins with; what is none of these is taken for Windows-1252,
    as Latin-1 mostly is.

    Raises:
        FormatError: nobody can find text in it as it is: a PDF, a broken archive, bytes of another kind.
    """
    if data.startswith(b"%PDF"):
        raise FormatError(f"{name}: the text of a PDF cannot be checked", "check what it was made from")
    if data.startswith(b"PK\x03\x04"):
        return _of_archive(data, name)
    if name.lower().endswith((".docx", ".odt")):
        raise FormatError(f"{name} cannot be read: it is no document of Word or OpenDocument", "save it once more")
    text = _decoded(data)
    if "\0" in text:
        raise FormatError(f"{name}: there is no text in it", "check what it was made from")
    return _of_notebook(text) if re.search(r"\A\s*\{", text) and '"nbformat"' in text else text


def _decoded(data: bytes) -> str:
    mark = next((mark for mark in _MARKS if data.startswith(mark)), None)
    if mark is not None:
        return data.decode(_MARKS[mark], "replace")
    for encoding in ("utf-16-le", "utf-16-be"):
        if data.find("gxt:".encode(encoding)) % 2 == 0:  # -1 where it is not there
            return data.decode(encoding, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


_LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


def _of_notebook(text: str) -> str:
    """The text in the strings of JSON, each on its line."""
    import json  # here for start-up time

    found = []
    for line in text.split("\n"):
        strings = []
        for match in _LITERAL.finditer(line):
            try:
                strings.append(str(json.loads(match[0])).replace("\n", " "))
            except ValueError:
                continue
        found.append(" ".join(strings) or ",")  # an empty line would end a paragraph
    return "\n".join(found)


def _of_archive(data: bytes, name: str) -> str:
    import html
    import io
    import zipfile  # these here for start-up time

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = next((inner for inner in _OF_WORD_PROCESSORS if inner in archive.namelist()), None)
            if inside is None:
                raise FormatError(f"{name}: an archive that is no document", "check the files in it")
            xml = archive.read(inside).decode("utf-8", "replace")
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise FormatError(f"{name} cannot be read: {error}") from None
    paragraphs = re.split(_OF_WORD_PROCESSORS[inside], xml.replace("\n", " "))
    return "\n".join(html.unescape(re.sub(r"<[^>]*>", "", paragraph)) for paragraph in paragraphs)
