from config.runtime.witness import STILL_LOOKS, Witness, stuck_part


def looks(witness: Witness, number: int) -> dict[str, int]:
    for _ in range(number):
        found = witness.look()
    return found


def test_a_part_that_turns_is_never_still() -> None:
    witness = Witness()
    for _ in range(2 * STILL_LOOKS):
        witness.note_turn("loop")
        assert witness.look() == {"loop": 0}


def test_a_part_is_still_by_looks_so_that_no_jump_of_a_clock_is_held_against_it() -> None:
    witness = Witness()
    witness.note_turn("loop")
    assert looks(witness, 1) == {"loop": 0}
    assert looks(witness, 5) == {"loop": 5}


def test_a_part_that_turns_again_begins_anew() -> None:
    witness = Witness()
    witness.note_turn("loop")
    looks(witness, STILL_LOOKS)

    assert witness.is_stuck()
    witness.note_turn("loop")
    assert looks(witness, 1) == {"loop": 0}
    assert not witness.is_stuck()


def test_nothing_is_expected_of_a_part_that_rests() -> None:
    witness = Witness()
    witness.note_turn("claim")
    looks(witness, 10)
    witness.note_rest("claim")

    assert looks(witness, STILL_LOOKS) == {}
    assert witness.still_seconds() == 0


def test_a_part_that_is_expected_at_every_look_and_rests_between_them_is_not_still() -> None:
    witness = Witness()
    for _ in range(STILL_LOOKS):
        witness.note_turn("claim")
        assert witness.look() == {"claim": 0}
        witness.note_rest("claim")


def test_one_part_that_turns_does_not_speak_for_another() -> None:
    witness = Witness()
    witness.note_turn("heartbeat")
    for _ in range(STILL_LOOKS + 1):
        witness.note_turn("loop")
        witness.look()

    assert witness.look()["heartbeat"] > STILL_LOOKS


def test_a_part_is_past_help_after_so_many_looks_and_no_sooner() -> None:
    witness = Witness()
    witness.note_turn("loop")
    witness.look()
    assert [stuck_part(witness, {}) for _ in range(STILL_LOOKS)] == [None] * 29 + ["loop"]


def test_a_part_that_would_stand_as_still_in_a_new_process_gets_its_time_anew() -> None:
    witness = Witness()
    for part in ("consumer", "carrier"):
        witness.note_turn(part)
    looks(witness, STILL_LOOKS)
    witness.note_turn("carrier")

    assert stuck_part(witness, {"consumer": lambda: True}) is None
    assert looks(witness, 1)["consumer"] == 0
    looks(witness, STILL_LOOKS - 1)
    witness.note_turn("carrier")
    assert stuck_part(witness, {"consumer": lambda: False}) == "consumer"
