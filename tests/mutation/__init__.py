"""Small faults, put into the package on purpose: a fault that no test notices shows what the tests do not check.

The results of random samples, without the faults that ``equivalent.toml`` lists (29 November 2026):

==========  ==============================  ======================  ===========================================
package     sample                          survived                seeds
==========  ==============================  ======================  ===========================================
calls       28, 21, 21, 60, 4, 6, 6         2, 0, 0, 2, 0, 0, 0     2601, 2602, 2723, 3107, 101, 202, 303
transport   29, 22, 17, 60, 44, 14, 20, 14  4, 0, 0, 3, 1, 0, 0, 1  2601, 2602, 2723, 3101, 3111, 101, 202, 303
protocol    25, 25, 43, 84, 51, 20, 20, 10  0, 0, 1, 5, 0, 0, 0, 0  2601, 2602, 2723, 3102, 3112, 101, 202, 303
polling     28, 20, 18, 77, 2, 3, 6         5, 0, 1, 1, 0, 1, 0     2601, 2602, 2723, 3106, 101, 202, 303
fulfilment  46, 46, 15, 21, 87, 9, 10, 13   6, 3, 0, 2, 3, 0, 2, 0  2711, 2721, 2723, 3104, 3114, 101, 202, 303
sql         22, 36, 30, 65, 11, 19, 9       1, 1, 2, 2, 0, 0, 0     2712, 2722, 3105, 3115, 101, 202, 303
==========  ==============================  ======================  ===========================================

The samples 3101, 3102 and 3111 are of some files: those that were new.

What survived a sample was tested or removed before the next one. On a busy machine the time for each sample ended
before all of its faults were tried.
"""
