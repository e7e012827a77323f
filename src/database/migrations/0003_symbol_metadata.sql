-- Up Migration

-- What a symbol stood for, and when: a ticker may be given to another security. valid_from is -infinity where it was so when it
-- was first seen; valid_to (one past the last session) is null where it still is so.
CREATE TABLE symbol_metadata (
  symbol text COLLATE "C" NOT NULL,
  valid_from date NOT NULL,
  valid_to date,
  active boolean NOT NULL,
  name text NOT NULL,
  type text NOT NULL,
  exchange text NOT NULL,
  currency text NOT NULL,
  cik text NOT NULL,
  composite_figi text NOT NULL,
  share_class_figi text NOT NULL,
  list_date date,
  delisted_date date,
  sic_code text NOT NULL,
  industry text NOT NULL,
  sector text NOT NULL,
  market_cap double precision,
  share_class_shares double precision,
  weighted_shares double precision,
  employees integer,
  homepage text NOT NULL,
  renamed_from text NOT NULL,
  renamed_to text NOT NULL,
  details_as_of date,
  PRIMARY KEY (symbol, valid_from)
);

-- Down Migration

DROP TABLE symbol_metadata;
