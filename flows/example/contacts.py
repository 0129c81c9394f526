"""What passes between the accounts and the firm: one row an event, sound."""

import numpy as np
import polars as pl

from flows.example import firm
from flows.example.accounts import handler
from flows.example.chance import draw, pick, uniform, within
from flows.example.when import FIRST_OF_MONTH, at_some_time, chance_days, weekdays

LONGEST = {"mail": 3, "helpdesk": 2}  # messages in a conversation
FIRM_ANSWERS = 0.85
HOURS_TO_ANSWER = 48
FEEDBACK_WITH_RATING = 0.6
NEWSLETTER_DAYS = FIRST_OF_MONTH[1::3] + 9


def events(relationships: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The events of each source; `at` is in UTC for mail and helpdesk, else in the firm's own time."""
    begun = pl.concat([by_chance(relationships), first_words(relationships)])
    begun = begun.join(relationships, on="relationship", maintain_order="left")
    begun = begun.join(firm.KINDS, on="kind", maintain_order="left")
    begun = at_some_time(begun, "contacts").sort("at", "relationship", "kind", maintain_order=True)
    begun = with_people(begun)
    mail, calendar, helpdesk, reviews = (
        begun.filter(source=source) for source in ("mail", "calendar", "helpdesk", "reviews")
    )
    mail = messages(mail, "mail")
    by_source = {
        "mail": pl.concat([mail, auto_replies(mail), newsletters(relationships)], how="diagonal"),
        "calendar": calendar.with_columns(event_id=pl.format("a{}", pl.int_range(pl.len()))),
        "helpdesk": messages(helpdesk, "helpdesk"),
        "reviews": rated(reviews).with_columns(event_id=pl.format("r{}", pl.int_range(pl.len()))),
    }
    return {
        source: rows.with_columns(updated_at=pl.col("at") + pl.duration(hours=1)) for source, rows in by_source.items()
    }


def by_chance(relationships: pl.DataFrame) -> pl.DataFrame:
    """When conversations and other contacts begin: `relationship`, `day`, `kind`."""
    a_year = firm.TALKS.join(firm.TAKES_PART, on="archetype").unpivot(index="archetype", variable_name="kind")
    found = []
    for archetype, kind, rate in a_year.drop_nulls().iter_rows():
        members = relationships.filter(archetype=archetype)
        row, day = chance_days(f"{archetype} {kind}", rate, members, "contact_tempo")
        found.append(members[row].select("relationship", day=pl.Series(day), kind=pl.lit(kind)))
    return pl.concat(found).filter(pl.col("day") < firm.DAYS)


def first_words(relationships: pl.DataFrame) -> pl.DataFrame:
    """Whoever writes at all has written in the first week: `relationship`, `day`, `kind`."""
    writers = firm.TALKS.drop_nulls("thread")["archetype"]
    members = relationships.filter(pl.col("archetype").is_in(writers.implode()))
    day = pl.col("first") * 7 + pl.Series(weekdays("first words", members))
    return members.select("relationship", day=day, kind=pl.lit("thread"))


def with_people(begun: pl.DataFrame) -> pl.DataFrame:
    """Adds who took part, how long it took and who began it; the first of the people is most in touch."""
    by_own = draw(begun, "contact with own handler") < pl.col("own")
    person = (draw(begun, "person") * draw(begun, "person again") * pl.col("people")).floor().cast(pl.Int64)
    by_account = draw(begun, "begun by account") < pl.col("opens")
    either = pl.when(by_account).then(pl.lit("inbound")).otherwise(pl.lit("outbound"))
    return begun.with_columns(
        handler=pl.when(by_own).then("own_handler").otherwise(handler(draw(begun, "contact with anyone"))),
        contact=pl.lit(pl.Series(firm.ROLES)).gather(person),
        minutes=within(pl.col("minutes"), draw(begun, "minutes")),
        direction=pl.when(pl.col("direction") == "either").then(either).otherwise("direction"),
    )


def messages(begun: pl.DataFrame, source: str) -> pl.DataFrame:
    """The messages of each conversation, account and firm in turn, each up to two days after the last.

    From here on `at` is in UTC: answers come at any hour, also in those that local clocks skip or repeat.
    """
    shape = (begun.height, LONGEST[source])
    turn = np.arange(LONGEST[source])
    by_account = (begun["direction"] == "inbound").to_numpy()[:, None] == (turn % 2 == 0)
    answers = np.where(by_account, begun["answers"].to_numpy()[:, None], FIRM_ANSWERS)
    written = (uniform(f"{source} answered", *shape) < answers) | (turn == 0)
    delay = np.cumsum(uniform(f"{source} delay", *shape) * HOURS_TO_ANSWER * 60 * (turn > 0), axis=1)
    row, turn = np.nonzero(np.cumprod(written, axis=1))
    in_utc = pl.col("at").dt.replace_time_zone(firm.TIMEZONE).dt.convert_time_zone("UTC")
    thread = pl.format("{}{}", pl.lit(source[0]), pl.Series(row))
    return (
        begun[row]
        .with_columns(turn=pl.Series(turn), thread_id=thread, delay=pl.Series(delay[row, turn].astype(int)))
        .with_columns(
            at=in_utc.dt.replace_time_zone(None) + pl.duration(minutes="delay"),
            direction=pl.Series(np.where(by_account[row, turn], "inbound", "outbound")),
            event_id=pl.format("{}.{}", "thread_id", "turn"),
            in_reply_to=pl.when(pl.col("turn") > 0).then(pl.format("{}.{}", "thread_id", pl.col("turn") - 1)),
        )
        .filter(pl.col("at").dt.date() <= firm.LAST_DAY)
    )


def auto_replies(mail: pl.DataFrame) -> pl.DataFrame:
    """Out-of-office answers to some of the firm's messages, a minute later."""
    early_enough = (pl.col("at") + pl.duration(minutes=1)).dt.date() <= firm.LAST_DAY
    answered = mail.filter(early_enough, direction="outbound")
    return pick(answered, firm.dirt("mail", "auto_reply"), "auto replies").with_columns(
        at=pl.col("at") + pl.duration(minutes=1),
        event_id=pl.col("event_id") + ".auto",
        in_reply_to="event_id",
        direction=pl.lit("inbound"),
        kind=pl.lit("auto_reply"),
    )


def newsletters(relationships: pl.DataFrame) -> pl.DataFrame:
    """The quarterly newsletter, to some of those who have been in touch, whatever they are to the firm."""
    issues = pl.DataFrame({"issued": NEWSLETTER_DAYS}).with_row_index("issue", offset=1)
    known = relationships.join(issues, how="cross").filter(pl.col("issued") > pl.col("first") * 7 + 7)
    return pick(known, firm.dirt("mail", "bulk"), "newsletters").with_columns(
        at=pl.lit(firm.FIRST_DAY).cast(pl.Datetime("us")) + pl.duration(days="issued", hours=15),
        event_id=pl.format("news{}.{}", "issue", "relationship"),
        contact=pl.lit(firm.ROLES[0]),
        direction=pl.lit("outbound"),
        kind=pl.lit("newsletter"),
    )


def rated(reviews: pl.DataFrame) -> pl.DataFrame:
    """Adds the rating, 0 to 10: every survey has one, and so has some of the written feedback."""
    pleased = pl.col("pleased")
    rating = ((pleased + (1 - pleased) * draw(reviews, "rating")) * 11).floor().cast(pl.Int64)
    with_rating = draw(reviews, "feedback with rating") < FEEDBACK_WITH_RATING
    rates = (pl.col("kind") == "survey") | ((pl.col("kind") == "feedback") & with_rating)
    return reviews.with_columns(rating=pl.when(rates).then(rating))
