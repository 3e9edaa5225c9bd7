;; SPDX-License-Identifier: LGPL-2.1-or-later
;; Compiled Lisp: code that is made and moved by the garbage collector, which protects pages.
(declaim (optimize (speed 3) (safety 1)))

(defun fibonacci (n)
  (declare (fixnum n))
  (if (< n 2) n (the fixnum (+ (fibonacci (- n 1)) (fibonacci (- n 2))))))
(print (fibonacci 32))
(print (mod (reduce #'* (loop for i from 1 to 2000 collect i)) 1000000007))

(defparameter *table* (make-hash-table :test 'equal))
(dotimes (i 200000)
  (incf (gethash (format nil "~36r" (mod (* i 7919) 5003)) *table* 0)))
(print (hash-table-count *table*))
(print (let ((sum 0d0))
         (declare (double-float sum))
         (loop for i from 1 to 2000000 do (incf sum (/ (sin (float i 1d0)) i)))
         sum))

(defparameter *list* nil)
(dotimes (round 30)
  (setf *list* nil)
  (dotimes (i 20000) (push (make-array 20 :initial-element i) *list*))
  (when (= 0 (mod round 5)) (gc :full t)))
(print (length *list*))

(dotimes (i 150)
  (let ((made (compile nil `(lambda (x) (+ (* x ,i) ,(* i i))))))
    (when (= 0 (mod i 30)) (print (funcall made 3)))))
(print (loop for i below 2000
             count (handler-case (progn (if (= 0 (mod i 3)) (error "no") (/ 5 (mod i 2))) nil)
                     (division-by-zero () t)
                     (error () t))))
(terpri)
