;; The check digit of a parcel's number, as on every retail barcode: from its last digit on, the digits count three times
;; and once in turn; the check digit brings the sum to a multiple of ten. Puts out {"digit":n}.
;;
;; WASI gives a program its arguments as texts that end in a zero byte; the second is the input of the step, as JSON.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;;   0  argc, size of all arguments, argv[0], argv[1], …      64  what fd_write is to write (address, length)
  ;; 128  texts                                                1024  the arguments
  (memory (export "memory") 1)
  (data (i32.const 128) "\22number\22:\22")
  (data (i32.const 160) "{\22digit\22:0}\n")
  (data (i32.const 192) "there is no number\n")

  (func $say (param $to i32) (param $text i32) (param $length i32)
    (i32.store (i32.const 64) (local.get $text))
    (i32.store (i32.const 68) (local.get $length))
    (drop (call $fd_write (local.get $to) (i32.const 64) (i32.const 1) (i32.const 72))))

  ;; Whether `"number":"` stands here.
  (func $key_at (param $here i32) (result i32)
    (local $i i32)
    (loop $next
      (if (i32.ne (i32.load8_u (i32.add (local.get $here) (local.get $i)))
                  (i32.load8_u (i32.add (i32.const 128) (local.get $i))))
        (then (return (i32.const 0))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 10))))
    (i32.const 1))

  (func (export "_start")
    (local $at i32) (local $end i32) (local $digit i32) (local $sum i32) (local $weight i32)
    (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
    (drop (call $args_get (i32.const 8) (i32.const 1024)))
    (local.set $at (i32.load (i32.const 12)))

    (block $found
      (loop $search
        (br_if $found (call $key_at (local.get $at)))
        (if (i32.eqz (i32.load8_u (local.get $at)))
          (then
            (call $say (i32.const 2) (i32.const 192) (i32.const 19))
            (call $proc_exit (i32.const 1))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $search)))

    (local.set $at (i32.add (local.get $at) (i32.const 10)))
    (local.set $end (local.get $at))
    (block $quote
      (loop $text
        (br_if $quote (i32.eq (i32.load8_u (local.get $end)) (i32.const 34)))
        (local.set $end (i32.add (local.get $end) (i32.const 1)))
        (br $text)))

    (local.set $weight (i32.const 3))
    (block $first
      (loop $digits
        (br_if $first (i32.le_u (local.get $end) (local.get $at)))
        (local.set $end (i32.sub (local.get $end) (i32.const 1)))
        (local.set $digit (i32.sub (i32.load8_u (local.get $end)) (i32.const 48)))
        (br_if $digits (i32.gt_u (local.get $digit) (i32.const 9)))
        (local.set $sum (i32.add (local.get $sum) (i32.mul (local.get $digit) (local.get $weight))))
        (local.set $weight (i32.sub (i32.const 4) (local.get $weight)))
        (br $digits)))

    ;; "0" + (10 - sum mod 10) mod 10, in its place
    (i32.store8 (i32.const 169)
      (i32.add (i32.const 48)
        (i32.rem_u (i32.sub (i32.const 10) (i32.rem_u (local.get $sum) (i32.const 10))) (i32.const 10))))
    (call $say (i32.const 1) (i32.const 160) (i32.const 12))))
