"""Hartley & Co as data: who deals with the firm, how often, and what it sells. Change the example here.

Every number is a judgement, made so that the kinds overlap as they do in life: within one archetype an
account orders at 0.4 to 2.2 times the rate given, and is in touch at 0.2 to 3.4 times.
"""

import datetime as dt
import io

import polars as pl

FIRST_DAY = dt.date(2023, 1, 1)
LAST_DAY = dt.date(2025, 12, 31)
DAYS = (LAST_DAY - FIRST_DAY).days + 1
WEEKS = -(-DAYS // 7)
TIMEZONE = "America/New_York"

ROLES = ("owner", "finance", "operations", "assistant", "board")
STAFF = {"legal": ("lawyer", 14), "documents": ("desk", 6)}
PRICE_RISE_A_YEAR = 0.03


def table(text: str) -> pl.DataFrame:
    """A table drawn as text: names first, one row a line, '.' for nothing, '2:5' a range, ends included."""
    rows = (",".join(row.split()) for row in text.strip().splitlines())
    return pl.read_csv(io.StringIO("\n".join(rows)), null_values=".", infer_schema_length=None)


# How many accounts there are of each kind, by their archetype in each line: 3,000, of them 195 in both.
ACCOUNTS = table("""
accounts  legal        documents
135       retained     .
225       advised      .
 90       prepaying    .
 75       quiet        .
 45       new          .
 75       lapsing      .
420       one_matter   .
 45       long_matter  .
 60       few_matters  .
 45       filer        .
 90       enquirer     .
 60       retained     one_form
 60       advised      some_forms
 30       converted    first_forms
 45       one_matter   one_form
765       .            one_form
 60       .            one_draft
390       .            some_forms
120       .            regular
 60       .            subscriber
 45       .            drafted
 60       .            visitor
""")

# doubt: yes where a careful person could argue for the other segment. starts: the first week, below 0 where
# the relationship is older than the records. lasts: weeks. people: how many of the account's people are in
# touch. own: share served by its own lawyer or drafter. alone: share of orders without anyone's help. opens:
# share of conversations that the account begins. answers: chance that it answers a message. pleased: the
# lowest rating that it gives, 0 to 1.
ARCHETYPES = table("""
archetype    line       segment   doubt  starts    lasts    people  own   alone  opens  answers  pleased
retained     legal      client    no     -150:110  999:999  5       0.85  0.00   0.50   0.75     0.60
advised      legal      client    no     -150:110  999:999  4       0.80  0.05   0.50   0.72     0.60
prepaying    legal      client    no     -100:100  999:999  3       0.80  0.10   0.50   0.70     0.55
quiet        legal      client    yes    -150:60   999:999  2       0.70  0.10   0.40   0.55     0.40
new          legal      client    yes     128:148  999:999  3       0.88  0.00   0.55   0.75     0.60
lapsing      legal      client    yes      -8:8     60:130  3       0.75  0.05   0.40   0.60     0.20
converted    legal      client    yes      95:135  999:999  3       0.75  0.15   0.50   0.70     0.50
one_matter   legal      customer  no        0:150    3:26   2       0.80  0.05   0.55   0.70     0.55
long_matter  legal      customer  yes       0:120   26:70   3       0.85  0.00   0.55   0.72     0.50
few_matters  legal      customer  yes       0:60    60:140  2       0.60  0.10   0.50   0.60     0.45
filer        legal      customer  yes    -100:100  999:999  2       0.45  0.65   0.35   0.55     0.40
enquirer     legal      prospect  no       60:150    2:20   1       0.60  0.00   0.70   0.50     0.50
one_form     documents  customer  no        0:154    1:6    1       0.00  0.85   0.60   0.40     0.50
one_draft    documents  customer  no        0:154    2:10   1       0.60  0.20   0.60   0.60     0.50
some_forms   documents  customer  no        0:110   40:150  1       0.10  0.75   0.60   0.40     0.50
first_forms  documents  customer  no        0:50    30:60   1       0.10  0.70   0.60   0.50     0.60
regular      documents  customer  no     -100:90   999:999  2       0.45  0.65   0.60   0.55     0.50
subscriber   documents  customer  yes     -60:110  999:999  2       0.10  0.95   0.60   0.50     0.45
drafted      documents  client    no      -80:100  999:999  3       0.75  0.25   0.50   0.70     0.55
visitor      documents  prospect  no       70:152    1:12   1       0.00  0.00   0.90   0.40     0.50
""")

# Contacts a year while the relationship runs; thread is a conversation by mail.
TALKS = table("""
archetype    thread  call  meeting  visit  consultation  chat  ticket
retained      4      2.5   2.5      0.4    1.4           0.2   0.3
advised       2.8    2     1.4      0.2    0.9           0.2   0.3
prepaying     2.3    1.4   1        0.2    0.6           0.2   0.3
quiet         1.3    0.8   0.4      0.1    0.2           0.1   0.2
new           6      4     3        0.4    2.2           0.2   0.4
lapsing       2.4    1.5   1.2      0.2    0.6           0.2   0.3
converted     2.6    1.6   0.9      0.2    0.6           0.3   0.5
one_matter    8      5     3        0.3    2.5           0.5   1
long_matter   6      4     2.5      0.3    1.5           0.2   0.4
few_matters   2.6    1.5   0.9      0.1    0.4           0.2   0.3
filer         2.6    1.4   0.6      .      0.1           0.3   1
enquirer      5      4     1        .      4             1     1
one_form      .      .     .        0.3    .             1.5   3
one_draft     8      6     0.8      0.3    1             2     4
some_forms    0.4    0.3   .        0.1    .             0.2   0.5
first_forms   1      0.5   .        0.2    0.2           0.6   1
regular       1.6    0.9   0.2      0.2    0.05          0.8   1.6
subscriber    0.8    0.5   0.1      .      0.05          0.5   1
drafted       2.4    1.8   0.9      0.2    0.5           0.5   0.9
visitor       5      1     .        0.5    0.2           6     4
""")
TAKES_PART = table("""
archetype    pilot  design_review  feature_request  feedback  survey  referral
retained     0.15   0.2            0.5              0.6       0.6     0.4
advised      0.05   0.1            0.2              0.4       0.6     0.3
prepaying    0.05   0.1            0.2              0.4       0.6     0.25
quiet        .      .              .                0.15      0.4     0.1
new          0.2    0.2            0.5              0.5       0.8     0.2
lapsing      0.05   0.1            0.2              0.3       0.5     0.2
converted    0.05   0.1            0.2              0.3       0.6     0.2
one_matter   .      .              .                0.4       1.5     0.5
long_matter  .      .              .                0.3       0.8     0.3
few_matters  .      .              0.05             0.2       0.5     0.2
filer        0.05   0.05           0.3              0.2       0.5     0.1
enquirer     .      .              .                .         .       0.1
one_form     .      .              .                0.1       1.5     0.2
one_draft    .      .              0.2              0.5       1.5     0.3
some_forms   .      .              0.05             0.1       0.4     0.1
first_forms  .      .              0.1              0.1       0.4     0.1
regular      0.05   0.05           0.4              0.3       0.5     0.25
subscriber   0.05   0.05           0.5              0.4       0.5     0.1
drafted      0.3    0.5            1.2              0.8       0.7     0.3
visitor      .      .              .                .         .       .
""")

# Where each kind of contact is recorded; either: begun by the account as often as `opens` says.
KINDS = table("""
kind             source    direction  minutes
thread           mail      either      .
call             calendar  either      5:40
meeting          calendar  mutual     30:120
visit            calendar  mutual     15:90
consultation     calendar  mutual     30:90
pilot            calendar  mutual     45:120
design_review    calendar  mutual     45:120
chat             helpdesk  inbound    .
ticket           helpdesk  inbound    .
feature_request  helpdesk  inbound    .
survey           reviews   inbound    .
feedback         reviews   inbound    .
referral         reviews   inbound    .
""")

# What each archetype orders: so many a year by chance, every so many months by the calendar, or (neither)
# once at the start. premium: what it pays over list price, as a share of it.
ORDERS = table("""
archetype    category      a_year  every_months  premium
retained     retainer       .       1             0.04
retained     advice         3       .             0.12
retained     drafting       1.5     .             0.15
advised      advice         .       .             0.06
advised      advice         4       .             0.06
advised      drafting       1       .             0.10
advised      disputes       0.4     .             0.08
advised      fixed          0.6     .             0.00
prepaying    prepaid        .      12             0.00
prepaying    advice         1.5     .             0.06
quiet        fixed          .       .             0.00
quiet        advice         1.1     .             0.02
quiet        fixed          0.6     .             0.00
new          retainer       .       1             0.04
new          drafting       3       .             0.10
lapsing      advice         .       .             0.04
lapsing      advice         3       .             0.04
lapsing      fixed          0.8     .             0.00
converted    fixed          .       .             0.00
converted    advice         3       .             0.03
converted    fixed          0.8     .             0.00
one_matter   fixed          .       .             0.00
one_matter   advice         5       .             0.03
one_matter   drafting       1       .             0.03
long_matter  disputes       .       .             0.05
long_matter  disputes       1.5     .             0.05
long_matter  advice         6       .             0.05
few_matters  fixed          .       .             0.00
few_matters  fixed          1       .             0.00
few_matters  advice         0.9     .             0.02
filer        letters        .       .            -0.10
filer        letters        9       .            -0.10
filer        advice         0.4     .             0.00
one_form     forms          .       .             0.00
one_draft    drafts         .       .             0.05
some_forms   forms          .       .             0.00
some_forms   forms          2       .             0.00
some_forms   drafts         0.1     .             0.00
first_forms  forms          .       .             0.00
first_forms  forms          3       .             0.00
regular      forms          .       .            -0.05
regular      forms         14       .            -0.05
regular      drafts         0.2     .             0.00
subscriber   library        .       1             0.00
subscriber   forms          2       .            -0.10
subscriber   drafts         0.2     .             0.00
drafted      drafts         .       .             0.08
drafted      drafts         2.5     .             0.08
drafted      forms          3       .             0.00
drafted      library_year   .      12             0.00
""")

# price: list price of one unit in 2023, in dollars. haggle: width of the band around list price with premium,
# as a share of it. months: how long a prepayment runs.
PRODUCTS = table("""
product_id         line       category       price    units  haggle  custom  recurring  service  months
RETAINER           legal      retainer       1400.00  1:1    0.10    no      yes        yes      .
PREPAID-YEAR       legal      prepaid        9600.00  1:1    0.08    no      yes        yes      12
ADVICE-BUSINESS    legal      advice          310.00  1:9    0.10    yes     no         yes      .
ADVICE-PROPERTY    legal      advice          290.00  1:8    0.10    yes     no         yes      .
ADVICE-EMPLOYMENT  legal      advice          300.00  1:6    0.10    yes     no         yes      .
DRAFT-CONTRACT     legal      drafting       1750.00  1:2    0.12    yes     no         yes      .
DRAFT-POLICY       legal      drafting       1200.00  1:2    0.12    yes     no         yes      .
DISPUTE-STAGE      legal      disputes       4200.00  1:2    0.12    yes     no         yes      .
WILL               legal      fixed           680.00  1:1    0.04    no      no         yes      .
CLOSING            legal      fixed          1250.00  1:1    0.04    no      no         yes      .
INCORPORATION      legal      fixed           940.00  1:1    0.04    no      no         yes      .
COLLECTION-LETTER  legal      letters          85.00  4:30   0.02    no      no         yes      .
COURT-FEE          legal      disbursements    75.00  1:3    0.00    no      no         no       .
FORM-LEASE         documents  forms            24.00  1:3    0.00    no      no         no       .
FORM-NDA           documents  forms            18.00  1:3    0.00    no      no         no       .
FORM-PROXY         documents  forms            15.00  1:4    0.00    no      no         no       .
FORM-DEED          documents  forms            32.00  1:3    0.00    no      no         no       .
BINDER             documents  supplies          9.50  1:4    0.00    no      no         no       .
LIBRARY-MONTH      documents  library          29.00  1:1    0.00    no      yes        no       .
LIBRARY-YEAR       documents  library_year    290.00  1:1    0.00    no      yes        no       12
DRAFT-TO-ORDER     documents  drafts          420.00  1:3    0.15    yes     no         yes      .
""")

# What may go with an order as its second line, and with what share of orders.
EXTRAS = table("""
line       category       share
legal      disbursements  0.12
documents  supplies       0.30
""")

# Rows of each kind of dirt in each source. All dirt is added to sound rows or does them no harm: without it
# the simulated firm is left. `write_example` writes this table beside the truth.
#   duplicated  the same row a second time       cancelled   an order booked, cancelled by a later version
#   corrected   an earlier version of a row      returned    a second line given back, under the same order
#   late        a row in the next year's file    credited    part of an order given back, under its own number
#   padded      blanks around the account's id   auto_reply  an out-of-office answer; bulk: a newsletter
# no_account, no_order, broken_date and broken_amount are rows to refuse: copies of sound ones under a number
# of their own. So a source has duplicated + corrected + cancelled rows that another row supersedes.
DIRT = table("""
kind           legal  shop  mail  calendar  helpdesk  reviews
duplicated     60     70      90  45        30        20
corrected      50     35       .  40        20         .
late           40     30      60  25        15         .
padded         80     60       .  90        25        15
no_account     12     14      15  10         6         5
no_order        8      6       .   .         .         .
broken_date     9      7       8  12         5         4
broken_amount  11      5       .   .         .         .
cancelled      45     60       .   .         .         .
returned        .     90       .   .         .         .
credited       30     25       .   .         .         .
auto_reply      .      .     400   .         .         .
bulk            .      .    2500   .         .         .
""")


def dirt(source: str, kind: str) -> int:
    """How many rows of this kind of dirt the source has."""
    return DIRT.row(by_predicate=pl.col("kind") == kind, named=True)[source] or 0
