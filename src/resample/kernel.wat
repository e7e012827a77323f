;; The part of the kernel that takes the time: highest, lowest and sums of groups of n rows, two values an instruction.
;; simd-kernel.ts calls it; `npm run build:kernel` assembles it into kernel-wasm.ts.
;;
;; Memory is eight columns of `stride` f64 each; stride is even, so that the last pair of rows is inside them:
;;
;;   columns 0 to 3  high, low, volume, vwap of one symbol's rows; later high, low, volume, notional of its groups
;;   columns 4 to 7  the same rows one after the other, four values a row: high, −low, volume, notional
;;
;; The lowest is the highest of −low: so one instruction does both, and one addition both sums.
(module
  (memory (export "memory") 1)

  ;; Where column c begins, in bytes.
  (func $column (param $c i32) (param $stride i32) (result i32)
    (i32.mul (local.get $c) (i32.shl (local.get $stride) (i32.const 3))))

  ;; Makes columns 4 to 7 of columns 0 to 3, two rows at a time: where `rows` is odd one more, which nobody reads.
  (func (export "interleave") (param $stride i32) (param $rows i32)
    (local $at i32) (local $end i32) (local $row i32)
    (local $low_at i32) (local $volume_at i32) (local $vwap_at i32)
    (local $high v128) (local $low v128) (local $volume v128) (local $notional v128)
    (local.set $low_at (call $column (i32.const 1) (local.get $stride)))
    (local.set $volume_at (call $column (i32.const 2) (local.get $stride)))
    (local.set $vwap_at (call $column (i32.const 3) (local.get $stride)))
    (local.set $row (call $column (i32.const 4) (local.get $stride)))
    (local.set $end (i32.shl (local.get $rows) (i32.const 3)))
    (loop $pair
      (local.set $high (v128.load (local.get $at)))
      (local.set $low (f64x2.neg (v128.load (i32.add (local.get $low_at) (local.get $at)))))
      ;; Sums start at 0, and 0 + −0 is 0: with that done here they can start at a group's first row.
      (local.set $volume
        (f64x2.add
          (v128.const f64x2 0 0)
          (v128.load (i32.add (local.get $volume_at) (local.get $at)))))
      ;; vwap × volume, and 0 where the volume is 0, whatever vwap says. A volume that is NaN is not 0.
      (local.set $notional
        (f64x2.add
          (v128.const f64x2 0 0)
          (v128.and
            (f64x2.mul
              (v128.load (i32.add (local.get $vwap_at) (local.get $at)))
              (local.get $volume))
            (f64x2.ne (local.get $volume) (v128.const f64x2 0 0)))))
      (v128.store offset=0 (local.get $row)
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $high) (local.get $low)))
      (v128.store offset=16 (local.get $row)
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $volume) (local.get $notional)))
      (v128.store offset=32 (local.get $row)
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $high) (local.get $low)))
      (v128.store offset=48 (local.get $row)
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $volume) (local.get $notional)))
      (local.set $row (i32.add (local.get $row) (i32.const 64)))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br_if $pair (i32.lt_u (local.get $at) (local.get $end)))))

  ;; Makes groups of n rows (the last of what is left) of rows `from` to `to` into columns 0 to 3. from < to, n ≥ 1.
  (func (export "reduce") (param $stride i32) (param $from i32) (param $to i32) (param $n i32)
    (local $row i32) (local $end i32) (local $group_end i32) (local $group_bytes i32)
    (local $high_at i32) (local $low_at i32) (local $volume_at i32) (local $notional_at i32)
    (local $prices v128) (local $sums v128)
    (local.set $low_at (call $column (i32.const 1) (local.get $stride)))
    (local.set $volume_at (call $column (i32.const 2) (local.get $stride)))
    (local.set $notional_at (call $column (i32.const 3) (local.get $stride)))
    (local.set $row (call $column (i32.const 4) (local.get $stride)))
    (local.set $end (i32.add (local.get $row) (i32.shl (local.get $to) (i32.const 5))))
    (local.set $row (i32.add (local.get $row) (i32.shl (local.get $from) (i32.const 5))))
    (local.set $group_bytes (i32.shl (local.get $n) (i32.const 5)))
    (loop $group
      (local.set $group_end (i32.add (local.get $row) (local.get $group_bytes)))
      (if (i32.gt_u (local.get $group_end) (local.get $end))
        (then (local.set $group_end (local.get $end))))
      (local.set $prices (v128.load offset=0 (local.get $row)))
      (local.set $sums (v128.load offset=16 (local.get $row)))
      (local.set $row (i32.add (local.get $row) (i32.const 32)))
      (block $whole
        (loop $next
          (br_if $whole (i32.ge_u (local.get $row) (local.get $group_end)))
          ;; pmax(a, b) is b where a < b, else a: what the reference does, with NaN and −0 too.
          (local.set $prices (f64x2.pmax (local.get $prices) (v128.load offset=0 (local.get $row))))
          (local.set $sums (f64x2.add (local.get $sums) (v128.load offset=16 (local.get $row))))
          (local.set $row (i32.add (local.get $row) (i32.const 32)))
          (br $next)))
      (f64.store (local.get $high_at) (f64x2.extract_lane 0 (local.get $prices)))
      (f64.store (local.get $low_at) (f64.neg (f64x2.extract_lane 1 (local.get $prices))))
      (f64.store (local.get $volume_at) (f64x2.extract_lane 0 (local.get $sums)))
      (f64.store (local.get $notional_at) (f64x2.extract_lane 1 (local.get $sums)))
      (local.set $high_at (i32.add (local.get $high_at) (i32.const 8)))
      (local.set $low_at (i32.add (local.get $low_at) (i32.const 8)))
      (local.set $volume_at (i32.add (local.get $volume_at) (i32.const 8)))
      (local.set $notional_at (i32.add (local.get $notional_at) (i32.const 8)))
      (br_if $group (i32.lt_u (local.get $row) (local.get $end))))))
