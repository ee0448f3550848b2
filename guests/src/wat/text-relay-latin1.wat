;; Passes text on to another component; keeps it in Latin-1 or UTF-16.
;; world: text-relay
;; strings: latin1+utf16
(module
  ;; include text-relay.wat
  ;; include realloc.wat
)
