import pickle

from coarse2fine.errors import MAX_MESSAGE, DataError


def test_errors__the_message_is_one_printable_line():
    assert str(DataError("The photo a\nb\ud800\u200b must exist.")) == r"The photo a\nb\ud800\u200b must exist."
    assert str(DataError("Ein Foto für 'Bär' fehlt.")) == "Ein Foto für 'Bär' fehlt."
    assert len(str(DataError("x" * 10**6))) == MAX_MESSAGE + 3


def test_errors__can_be_sent_to_another_process():
    assert str(pickle.loads(pickle.dumps(DataError("one")))) == "one"
