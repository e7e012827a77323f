-- Up Migration

-- The lake whose bars and groups these are: what another one has must not be taken for changes of it.
CREATE TABLE lake (
  id uuid NOT NULL,
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only)
);

-- Bars of the recent years. Prices are raw, as in bronze; a symbol is case-sensitive.
CREATE TABLE raw_ohlcv (
  symbol text COLLATE "C" NOT NULL,
  date date NOT NULL,
  open double precision NOT NULL,
  high double precision NOT NULL,
  low double precision NOT NULL,
  close double precision NOT NULL,
  volume double precision NOT NULL,
  vwap double precision,
  trades integer,
  PRIMARY KEY (symbol, date)
) PARTITION BY RANGE (date);

-- Bars of older months.
CREATE TABLE raw_ohlcv_archive (
  LIKE raw_ohlcv,
  archived_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (symbol, date)
);
CREATE INDEX raw_ohlcv_archive_date ON raw_ohlcv_archive USING brin (date) WITH (pages_per_range = 32, autosummarize = on);

-- Where the bars of a month are: in raw_ohlcv until it is archived, in raw_ohlcv_archive from then on. Whoever writes bars of
-- a month holds a lock on its row, whoever archives it an exclusive one: so a bar is never in both.
CREATE TABLE ohlcv_months (
  month date PRIMARY KEY CHECK (month = date_trunc('month', month)),
  archived_at timestamptz
);

-- Says where bars of these months belong ('raw', 'archive', 'outside'), and keeps it so until the transaction ends. A month from
-- keep_from on that is not there yet begins now.
CREATE FUNCTION route_ohlcv_months(months date[], keep_from date)
RETURNS TABLE (month date, target text)
-- Nobody but the system puts functions there: what runs with the owner's rights is what is meant.
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  partition text;
BEGIN
  -- In order of time: of two writers one waits for the other, never both.
  FOR month IN SELECT DISTINCT date_trunc('month', m)::date FROM unnest(months) AS m ORDER BY 1 LOOP
    SELECT CASE WHEN o.archived_at IS NULL THEN 'raw' ELSE 'archive' END INTO target
    FROM public.ohlcv_months AS o WHERE o.month = route_ohlcv_months.month FOR SHARE;
    IF NOT FOUND AND month < keep_from THEN
      target := 'outside';
    ELSIF NOT FOUND THEN
      -- Waits for another transaction that begins a month.
      LOCK TABLE public.raw_ohlcv IN SHARE UPDATE EXCLUSIVE MODE;
      INSERT INTO public.ohlcv_months VALUES (route_ohlcv_months.month) ON CONFLICT DO NOTHING;
      IF FOUND THEN
        -- Attached as it is ready: readers of other months are not kept waiting.
        partition := 'raw_ohlcv_' || to_char(month, 'YYYYMM');
        EXECUTE format('CREATE TABLE public.%I (LIKE public.raw_ohlcv INCLUDING ALL)', partition);
        EXECUTE format('ALTER TABLE public.raw_ohlcv ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
          partition, month, (month + interval '1 month')::date);
        target := 'raw';
      ELSE
        SELECT CASE WHEN o.archived_at IS NULL THEN 'raw' ELSE 'archive' END INTO STRICT target
        FROM public.ohlcv_months AS o WHERE o.month = route_ohlcv_months.month FOR SHARE;
      END IF;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION route_ohlcv_months FROM PUBLIC;

-- A bar in 64 bits: any value that is another one gives another number, all but never the same. Sums of it tell whether two sets
-- of bars are the same, in whatever order they are added. src/database/bar-hash.ts computes the same.
CREATE FUNCTION bar_hash(
  date date, open double precision, high double precision, low double precision, close double precision,
  volume double precision, vwap double precision, trades integer
) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- The hash of zero is its seed: the number of the column tells in which one it is.
RETURN hashint4extended(coalesce(trades, -1), hashfloat8extended(coalesce(vwap, 'NaN'), hashfloat8extended(volume,
  hashfloat8extended(close, hashfloat8extended(low, hashfloat8extended(high, hashfloat8extended(open,
  (date - date '1970-01-01')::bigint # 1) # 2) # 3) # 4) # 5) # 6) # 7);

-- Down Migration

DROP FUNCTION bar_hash;
DROP FUNCTION route_ohlcv_months;
DROP TABLE ohlcv_months, raw_ohlcv_archive, raw_ohlcv, lake;
