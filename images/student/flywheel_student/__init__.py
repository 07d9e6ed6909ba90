"""The student's programs: sit an exam (answer), be measured (measure). Must not know the loop or the teacher."""
