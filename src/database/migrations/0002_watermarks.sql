-- Up Migration

-- How far a symbol is; null = none. What a watermark covers is durable in bronze.
CREATE TABLE watermarks (
  symbol text COLLATE "C" PRIMARY KEY,
  last_date date,
  checked_from date,
  checked_through date
);

-- Down Migration

DROP TABLE watermarks;
