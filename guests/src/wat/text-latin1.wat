;; Gives text back; keeps it in Latin-1 or UTF-16.
;; world: text-guest
;; strings: latin1+utf16
(module
  ;; include text.wat
  ;; include realloc.wat
)
